"""What is to be packed and how large it will be: a plan, written before the packing.

Everything about a shard follows from the plan and the shard's number. That makes packing
parallel, resumable and the same on one machine and on many.
"""

import dataclasses
import itertools
import os

import numpy as np

from h2s_keras.data.records.classical_flow import CLASSICAL_FLOWS, require_opencv
from h2s_keras.data.records.record_format import FLOW_FORMATS
from h2s_keras.data.synthetic.action_clips import SyntheticClips
from h2s_keras.data.video.frame_times import NotedTimes
from h2s_keras.data.video.reading import iterate_frames
from h2s_keras.data.video.video_info import probe_video
from h2s_keras.errors import UserError, VideoError

POLICIES = ("raise", "skip")


@dataclasses.dataclass(frozen=True)
class PackSettings:
    """How frames are packed.

    Attributes:
        size: short side of the packed frames in pixels; smaller videos are not enlarged.
            None keeps the size of the video.
        quality: JPEG quality, 1 to 100.
        frames_per_record: most frames in a record; 0 for whole examples.
        flow: None, "tvl1", "farneback", "dis", a trained model (a .keras file, the folder
            of a run, a preset), or "true" for synthetic clips.
        flow_format: "uint8" or "float16".
        on_bad_file: "raise" or "skip".
        timeout: seconds that a video may take from one frame to the next.
        rate: frames per second to read the videos at; None for their frames as they are.
        stride: every how many of these frames one is packed. Flow is then that from one
            packed frame to the next.
        flow_sha256: SHA-256 of the file of the trained model that `flow` names, else None.

    Raises:
        UserError: a value makes no sense, or a flow method cannot work here.
    """

    size: int | None = 256
    quality: int = 95
    frames_per_record: int = 32
    flow: str | None = None
    flow_format: str = "uint8"
    on_bad_file: str = "raise"
    timeout: float = 60
    rate: float | None = None
    stride: int = 1
    flow_sha256: str | None = None

    def check(self, synthetic=False):
        """Raises a UserError where the values make no sense."""
        if self.size is not None and self.size < 8:
            raise UserError(
                f"the short side must be 8 pixels or more; received {self.size}"
            )
        if not 1 <= self.quality <= 100:
            raise UserError(f"the JPEG quality is 1 to 100; received {self.quality}")
        if self.frames_per_record < 0:
            raise UserError("frames_per_record is 1 or more, or 0 for whole examples")
        if self.rate is not None and not self.rate > 0:
            raise UserError(f"the rate is above 0 frames per second; received {self.rate}")
        if self.stride < 1:
            raise UserError(f"the stride is 1 frame or more; received {self.stride}")
        if synthetic and (self.stride > 1 or self.rate is not None):
            raise UserError("synthetic clips are packed whole; leave stride and rate out")
        if self.flow_format not in FLOW_FORMATS:
            raise UserError(f"flow_format must be one of {FLOW_FORMATS}")
        if self.on_bad_file not in POLICIES:
            raise UserError(f"on_bad_file must be one of {POLICIES} when packing")
        if self.flow == "true" and not synthetic:
            raise UserError("the true flow is known of synthetic clips only")
        if self.flow in CLASSICAL_FLOWS:
            require_opencv(self.flow)

    def as_dict(self):
        """The settings as the records keep them: a model for flow by its content as well.

        Raises:
            UserError: flow by a trained model without its checksum.
        """
        values = dataclasses.asdict(self)
        if self.flow_sha256 is None:
            del values["flow_sha256"]
            if self.flow not in (None, "true", *CLASSICAL_FLOWS):
                raise UserError(
                    f"no flow method {self.flow!r}; there are "
                    f"{', '.join(CLASSICAL_FLOWS)}; a trained model is given with "
                    "flow_sha256, the SHA-256 of its file (evaluation.flow_estimators)"
                )
        return values


@dataclasses.dataclass(frozen=True)
class PackPlan:
    """The whole packing.

    Attributes:
        name, class_names, splits: as `RecordIndex`.
        examples: list of dicts "number", "path", "name", "label", "group", "start", "end",
            "only_frames" and "parts"; of synthetic clips "clip" (number in the stream) in
            place of "path".
        settings: dict of `PackSettings`, and for synthetic clips "synthetic", a dict of
            the arguments of `SyntheticClips`.
        shards: number of shards.
    """

    name: str
    class_names: list
    splits: list
    examples: list
    settings: dict
    shards: int

    def of_shard(self, number):
        """Lists of the examples of each video of a shard, videos shuffled over shards.

        Readers that go through shards in order thus meet all classes; examples of one
        video stay together, so that it is decoded once.
        """
        videos = {}
        for example in self.examples:
            videos.setdefault(example.get("path", example["number"]), []).append(example)
        order = np.random.default_rng(0).permutation(len(videos))
        videos = list(videos.values())
        return [videos[place] for place in order[number :: self.shards]]


def list_plan(lists, root, settings, shards):
    """The plan of packing videos.

    Args:
        lists: dict of split name to `DatasetList` of the same classes; the union of their
            examples is packed.
        root: folder that names of videos are relative to; where it is None, or does not
            hold all of them, the nearest folder that does.
        settings: `PackSettings`.
        shards: number of shards.
    """
    splits = list(lists)
    examples = {}
    base = _base(lists, root)
    for place, listed in enumerate(lists.values()):
        for part, members in (("train", listed.train), ("test", listed.test)):
            for item in members:
                key = (item.path, item.start, item.end, item.label, item.frames)
                example = examples.setdefault(
                    key,
                    {
                        "number": len(examples),
                        "path": item.path,
                        "name": os.path.relpath(item.path, base),
                        "label": item.label,
                        "group": item.group,
                        "start": item.start,
                        "end": item.end,
                        "only_frames": item.frames,
                        "parts": [None] * len(splits),
                    },
                )
                example["parts"][place] = part
    first = next(iter(lists.values()))
    return PackPlan(
        first.name,
        list(first.class_names),
        splits,
        list(examples.values()),
        settings.as_dict(),
        _shard_count(shards, len({example["path"] for example in examples.values()})),
    )


def synthetic_plan(clips, count, test_count, class_names, settings, shards):
    """The plan of packing synthetic clips; `clips` are arguments of `SyntheticClips`."""
    try:
        SyntheticClips(**clips)
    except ValueError as error:
        raise UserError(f"such synthetic clips cannot be made: {error}") from None
    if count < 0 or test_count < 0:
        raise UserError(
            f"--count and --test_count take numbers from 0; received {count}, {test_count}"
        )
    examples = []
    for part, number_of_clips in (("train", count), ("test", test_count)):
        for clip in range(number_of_clips):
            examples.append(
                {
                    "number": len(examples),
                    "clip": clip,
                    "name": f"synthetic/{part}/{clip:06d}",
                    "label": None,
                    "group": None,
                    "start": None,
                    "end": None,
                    "parts": [part],
                }
            )
    if not examples:
        raise UserError("no clips asked for; give --count")
    return PackPlan(
        "synthetic clips",
        list(class_names),
        ["synthetic"],
        examples,
        {**settings.as_dict(), "synthetic": clips},
        _shard_count(shards, len(examples)),
    )


def _base(lists, root):
    """The folder that the names of all videos are relative to: no two are the same."""
    parts = [part for listed in lists.values() for part in (listed.train, listed.test)]
    folders = {os.path.dirname(os.path.abspath(x.path)) for part in parts for x in part}
    root = None if root is None else os.path.abspath(root)
    if root is not None and os.path.commonpath([root, *folders]) == root:
        return root
    return os.path.commonpath(folders) if folders else root


def _shard_count(shards, videos):
    if shards < 1:
        raise UserError(f"the number of shards must be 1 or more; received {shards}")
    # An empty shard would be of no use to anybody.
    return min(shards, videos)


_VIDEOS, _FRAMES = 4, 8
# Stored flow beside a JPEG of quality 95, both of ordinary video.
_FLOW_SHARE = {"uint8": 0.7, "float16": 9.0}


def estimated_bytes(examples, settings):
    """Bytes of all records of videos, from the first frames of up to four of them.

    Args:
        examples: list of `VideoExample`.
        settings: `PackSettings`.

    Returns:
        float; 0 where none of the looked at videos can be decoded.
    """
    import tensorflow as tf

    places = np.linspace(0, len(examples) - 1, min(_VIDEOS, len(examples))).astype(int)
    sizes = []
    for place in places:
        example = examples[place]
        try:
            info = probe_video(example.path, settings.timeout)
            times = NotedTimes(example.path, fallback=info.rate)
            decoded = iterate_frames(
                example.path, settings.size, "keep", settings.timeout, times=times
            )
            frames = list(itertools.islice(decoded, _FRAMES))
        except VideoError:
            continue
        seconds = info.duration or 0
        if example.start is not None:
            seconds = example.end - example.start
        count = max(len(frames), seconds * (times.mean_rate() or 0)) / settings.stride
        jpegs = [tf.io.encode_jpeg(x, quality=settings.quality).numpy() for x in frames]
        sizes.append(count * np.mean([len(jpeg) for jpeg in jpegs]))
    factor = 1 + (_FLOW_SHARE[settings.flow_format] if settings.flow else 0)
    return float(np.mean(sizes)) * len(examples) * factor if sizes else 0.0
