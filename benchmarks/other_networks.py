"""What other networks get on a folder of videos, in the folds of `h2s train videos`.

Command: python benchmarks/other_networks.py NETWORK TABLE.csv (--test GROUP | --each)
    [--minutes 13] [--seed 1] [--weights FILE]
    (TABLE.csv as for `simple_methods.py`; `s3d` and `mc3_18` need torchvision.)

Networks:
- s3d, mc3_18: torchvision's 3D networks from random weights, AdamW, cosine decay, clips
  cropped and mirrored at random;
- mobilenetv2_gru: Keras' MobileNetV2 with ImageNet weights (--weights names a file of
  them), frozen, and a GRU over its features; clips mirrored at random.

All see clips of 16 frames in about a second, whole frames squeezed to the size that the
network was published for, each class as often; tested on ten evenly spaced clips a video,
whose log-probabilities are averaged. `--minutes` is the time of one processor for a fold,
without reading the videos.

Printed: videos right over all groups left out, and on the last clips trained on.
"""

import argparse
import os
import time
import warnings

import numpy as np
from simple_methods import folds, read_table

from h2s_keras.data.clips.sampling import ClipSampling
from h2s_keras.data.video.reading import read_frames
from h2s_keras.evaluation.statistics import log_softmax

STRIDE = 2  # of 30 frames a second
SAMPLING = ClipSampling(num_frames=16, stride=STRIDE, short="hold")
SIZES = {"s3d": 224, "mc3_18": 112, "mobilenetv2_gru": 128}
TEST_CLIPS = 10
BATCH = 4


def squeezed_frames(path, size):
    """(frames, size, size, 3) uint8."""
    import cv2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = read_frames(path, on_broken="keep")
    shape = (size, size)
    return np.stack([cv2.resize(f, shape, interpolation=cv2.INTER_AREA) for f in frames])


def drawn_videos(labels, generator, count):
    """Places of `count` videos, each class as often."""
    classes = generator.integers(labels.max() + 1, size=count)
    return np.array([generator.choice(np.flatnonzero(labels == c)) for c in classes])


def processor_share(started, minutes):
    return (time.process_time() - started) / (60 * minutes)


def averaged(log_probabilities):
    return log_probabilities.reshape(-1, TEST_CLIPS, log_probabilities.shape[-1]).mean(1)


def train_torchvision(name, videos, labels, train, test, minutes, seed):
    """Log-probabilities (test videos, classes), and accuracy on the last training clips."""
    import torch
    from torchvision.models import video as networks

    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    network = getattr(networks, name)(num_classes=int(labels.max()) + 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4)

    def batch(clips):
        values = np.stack(clips).astype("float32") / 127.5 - 1
        return torch.from_numpy(values).permute(0, 4, 1, 2, 3)

    def training_clip(frames):
        clip = frames[SAMPLING.training_frames(len(frames), generator)]
        pad = SIZES[name] // 14
        clip = np.pad(clip, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="edge")
        top, left = generator.integers(2 * pad + 1, size=2)
        clip = clip[:, top : top + SIZES[name], left : left + SIZES[name]]
        return clip[:, :, ::-1] if generator.integers(2) else clip

    started, right = time.process_time(), []
    network.train()
    while (share := processor_share(started, minutes)) < 1:
        optimizer.param_groups[0]["lr"] = 1e-3 * (0.51 + 0.49 * np.cos(np.pi * share))
        places = train[drawn_videos(labels[train], generator, BATCH)]
        logits = network(batch([training_clip(videos[place]) for place in places]))
        target = torch.from_numpy(labels[places])
        loss = torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        right += (logits.argmax(1) == target).tolist()
    print(f"{len(right) // BATCH} steps of {BATCH} clips", flush=True)
    network.eval()
    with torch.no_grad():
        found = [
            torch.log_softmax(network(batch([videos[place][clip]])), -1)
            for place in test
            for clip in SAMPLING.even_frames(len(videos[place]), TEST_CLIPS)
        ]
    return averaged(torch.cat(found).numpy()), np.mean(right[-25 * BATCH :])


def mobilenet_features(videos, weights):
    """A list of (2, frames, 1280): of the frames as they are, and mirrored."""
    import keras

    size = SIZES["mobilenetv2_gru"]
    trunk = keras.applications.MobileNetV2(
        include_top=False, weights=weights, input_shape=(size, size, 3), pooling="avg"
    )
    return [
        np.stack(
            [
                trunk.predict(side.astype("float32") / 127.5 - 1, verbose=0)
                for side in (frames, frames[:, :, ::-1])
            ]
        )
        for frames in videos
    ]


def train_gru(features, labels, train, test, minutes, seed):
    """As `train_torchvision`, of the features of `mobilenet_features`."""
    import keras

    keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(seed)
    width = features[0].shape[-1]
    network = keras.Sequential(
        [
            keras.Input((SAMPLING.num_frames, width)),
            keras.layers.GRU(128),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(int(labels.max()) + 1),
        ]
    )
    network.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    started, accuracy = time.process_time(), []
    while (share := processor_share(started, minutes)) < 1:
        network.optimizer.learning_rate = 1e-3 * (0.51 + 0.49 * np.cos(np.pi * share))
        places = train[drawn_videos(labels[train], generator, 8 * BATCH)]
        clips = [
            features[place][generator.integers(2)][
                SAMPLING.training_frames(features[place].shape[1], generator)
            ]
            for place in places
        ]
        network.reset_metrics()
        accuracy.append(network.train_on_batch(np.stack(clips), labels[places])[1])
    print(f"{len(accuracy)} steps of {8 * BATCH} clips", flush=True)
    clips = [
        features[place][0][clip]
        for place in test
        for clip in SAMPLING.even_frames(features[place].shape[1], TEST_CLIPS)
    ]
    logits = network.predict(np.stack(clips), verbose=0).astype("float64")
    return averaged(log_softmax(logits)), np.mean(accuracy[-10:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("network", choices=SIZES)
    parser.add_argument("table")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--test", help="group left out")
    which.add_argument("--each", action="store_true", help="each group left out in turn")
    parser.add_argument(
        "--minutes", type=float, default=13.0, help="of one processor a fold"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weights", default="imagenet", help="of MobileNetV2")
    options = parser.parse_args()
    paths, names, groups = read_table(options.table)
    labels = np.unique(names, return_inverse=True)[1]
    videos = [squeezed_frames(path, SIZES[options.network]) for path in paths]
    if options.network == "mobilenetv2_gru":
        started = time.process_time()
        videos = mobilenet_features(videos, options.weights)
        print(f"features: {time.process_time() - started:.0f} s", flush=True)
    right, count = 0, 0
    left_out = sorted(set(groups)) if options.each else [options.test]
    for train, test in folds(groups, labels, left_out, None, 1):
        settings = (videos, labels, train, test, options.minutes, options.seed)
        if options.network == "mobilenetv2_gru":
            scores, trained = train_gru(*settings)
        else:
            scores, trained = train_torchvision(options.network, *settings)
        right += int((scores.argmax(-1) == labels[test]).sum())
        count += len(test)
        print(
            f"{os.path.basename(options.table)} {options.network}: {right} of {count}, "
            f"training clips {100 * trained:.0f} %",
            flush=True,
        )


if __name__ == "__main__":
    main()
