"""What a training run reads, behind one small interface: synthetic clips or videos.

A data object has
- `class_names`;
- `training(batch_size, start_step, seed, host, hosts)`: an endless dataset of (clips,
  labels) that continues exactly at a step. `batch_size` is that of the global batch; host
  `h` of `H` gets its rows `h * B / H` to `(h + 1) * B / H` of each. With "segments" the
  clips are (batch, segments, time, height, width, 3);
- `training_names(batch_size, step, seed)`: what the clips of one global batch show;
- `explain(error)`: the UserError that an exception of these datasets means, or None;
- `evaluation(batch_size)`: finite batches as dicts of NumPy arrays: "clip", "label", and
  where they are known "flow", "video" (number of the video) and for synthetic clips
  "motion" and "appearance". Always single clips.
"""

from h2s_keras.data.records.record_data import RecordData
from h2s_keras.data.synthetic.moving_layers import MovingLayerClips
from h2s_keras.data.synthetic.synthetic_data import SyntheticData
from h2s_keras.data.video_data import VideoData
from h2s_keras.options import DataOptions


def make_data(options):
    """The data object of `DataOptions`, or of a dict of them, by their kind.

    Raises:
        UserError: for an option that is not valid for the kind, or data that cannot be had.
    """
    options = DataOptions.of(options)
    kind, settings = options.kind, options.given()
    if kind == "synthetic":
        return SyntheticData(settings)
    if kind == "moving_layers":
        return SyntheticData(settings, MovingLayerClips)
    if kind == "records":
        return RecordData(settings)
    return VideoData(settings, kind)
