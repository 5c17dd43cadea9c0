"""The moving picture of the README: synthetic video, its flow and the recognised class.

    python -m benchmarks.tools.moving_picture docs/images/recognition.gif

Held-out clips, one of each motion; the preset `quickstart` sees three frames at a time, as
`h2s predict --timeline` does. The label is what the network says, right or wrong.
"""

import sys

import keras
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from h2s_keras.data.synthetic.action_clips import CLASS_NAMES, MOTIONS, SyntheticClips
from h2s_keras.models import load_model
from h2s_keras.visualization import flow_to_color

FRAMES, SEED, SCALE, MILLISECONDS = 11, 3, 3, 200


def one_of_each_motion():
    """The first held-out clip of each motion, each with another appearance in turn."""
    clips = SyntheticClips(FRAMES, seed=SEED, split="test")
    found = {}
    for number in range(200):
        example = clips.example(number)
        motion, look = int(example["motion"]), int(example["appearance"])
        if motion not in found and look == motion % 3:
            found[motion] = np.asarray(example["clip"]), int(example["label"])
        if len(found) == len(MOTIONS):
            break
    return [found[motion] for motion in sorted(found)]


def cell(clip, label, network):
    """The pictures of one clip: frame, flow and label, one per window of frames."""
    span = network.num_frames
    windows = np.stack(
        [clip[start : start + span] for start in range(len(clip) - span + 1)]
    )
    scores = keras.ops.convert_to_numpy(keras.ops.softmax(network(windows)["logits"]))
    flows = network.motion.estimate_flow(windows)[:, span // 2]
    font = ImageFont.load_default(15)
    for window, flow, score in zip(windows, flows, scores, strict=True):
        side = SCALE * clip.shape[1]
        image = Image.new("RGB", (2 * side, side + 24), (18, 22, 27))
        for left, picture in ((0, window[span // 2]), (side, flow_to_color(flow, 8.5))):
            part = Image.fromarray(np.asarray(picture))
            image.paste(part.resize((side, side), Image.Resampling.NEAREST), (left, 0))
        best = int(score.argmax())
        color = "#7ee787" if best == label else "#ff7b72"
        text = f"{CLASS_NAMES[best]}  {score[best]:.0%}"
        ImageDraw.Draw(image).text((6, side + 4), text, color, font)
        yield np.asarray(image)


def main(path):
    network = load_model("quickstart")
    cells = [np.stack(list(cell(*clip, network))) for clip in one_of_each_motion()]
    rows = [np.concatenate(cells[first : first + 2], axis=2) for first in (0, 2)]
    pictures = [Image.fromarray(picture) for picture in np.concatenate(rows, axis=1)]
    # There and back, so that the loop has no jump.
    pictures += pictures[-2:0:-1]
    palette = pictures[0].quantize(128)
    pictures = [picture.quantize(palette=palette, dither=0) for picture in pictures]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=MILLISECONDS, loop=0
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
