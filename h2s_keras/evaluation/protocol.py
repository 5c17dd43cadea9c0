"""How a video is viewed to be scored: protocols, and the clips and crops they ask for."""

import dataclasses
import re

import numpy as np

from h2s_keras.data.clips.crops import crop_frames, ten_crop_boxes
from h2s_keras.data.clips.sampling import (
    CLIPS_PER_VIDEO,
    SHORT_POLICIES,
    check_moves,
    clip_indices,
    clip_span,
    even_clip_starts,
    segment_clip_indices,
)
from h2s_keras.data.clips.video_clips import frame_size
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import UserError, VideoError

SAMPLINGS = ("even", "segments", "sliding")
CROPS = (1, 2, 5, 10)
FUSIONS = ("model", "published")
NAMED = {
    "paper": {"clips": 25, "crops": 10, "fusion": "published"},
    "fast": {"clips": 1, "sampling": "segments"},
}
# What a saved model keeps of the protocol of its run.
_OF_MODEL = ("clips", "short", "decode_size")


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Which views of a video are scored, and how their logits become one score.

    Attributes:
        clips: clips of a video, for the samplings "even" and "segments".
        crops: crops of a clip: 1 the centre, 2 the centre and its mirror image, 5 the
            corners and the centre, 10 these mirrored as well.
        sampling: "even": the paper's evenly spaced starts (step
            floor((n - span + 1) / clips)); "segments": the middle clip of each of `clips`
            equal parts (TSN; for untrimmed video); "sliding": a clip every `step` frames
            over the whole video.
        step: frames between clips, for "sliding"; 0 for the span of a clip.
        top_k: pool only the k highest logits of each class (untrimmed video, where the
            action fills a part of it); 0 for the mean of all views.
        short: what becomes of clips longer than their video, see
            `h2s_keras.data.clips.sampling`.
        decode_size: size of the decoded frames that views are cropped from, as
            `video_clip_dataset`; None: a short side of 8/7 of that of a view.
        fusion: how the pooled logits of the streams are fused: "model" as the network does
            it (weighted mean of log-probabilities), "published" by the paper's rule
            (negative logits set to 0, each row divided by its sum, weighted sum).

    Raises:
        UserError: a number is out of range, or numbers that do not belong together.

    Example:
        >>> Protocol.parse("paper").views
        250
        >>> Protocol.parse("5x2").describe(11, 1, (224, 224))
        '5 evenly spaced clips x 2 crops (centre, mirrored), 11 frames with stride 1, ...'

    Reference: arXiv 1704.00389, section 4.1; TSN (arXiv 1608.00859), section 4.3.
    """

    clips: int = 1
    crops: int = 1
    sampling: str = "even"
    step: int = 0
    top_k: int = 0
    short: str = "loop"
    decode_size: int | tuple | None = None
    fusion: str = "model"

    def __post_init__(self):
        for name, known in (("short", SHORT_POLICIES), ("fusion", FUSIONS)):
            if getattr(self, name) not in known:
                raise UserError(
                    f"{name} must be one of {', '.join(known)}; received "
                    f"{getattr(self, name)!r}"
                )
        if isinstance(self.decode_size, list):
            object.__setattr__(self, "decode_size", tuple(self.decode_size))
        if self.sampling not in SAMPLINGS:
            raise UserError(
                f"sampling must be one of {', '.join(SAMPLINGS)}; received "
                f"{self.sampling!r}"
            )
        if self.crops not in CROPS:
            raise UserError(f"crops must be one of {CROPS}; received {self.crops}")
        if self.clips < 1 or self.step < 0 or self.top_k < 0:
            raise UserError(
                "clips must be 1 or more, step and top_k 0 or more; received "
                f"{self.clips}, {self.step} and {self.top_k}"
            )
        if self.step and self.sampling != "sliding":
            raise UserError("a step between clips goes with the sampling 'sliding'")

    @classmethod
    def parse(cls, text, **changes):
        """A protocol by its name, or by numbers as CLIPSxCROPS.

        Args:
            text: "paper" (25x10), "fast" (the middle clip, centre crop), or e.g. "5x2"
                (5 evenly spaced clips x 2 crops).
            **changes: attributes to set otherwise; None leaves one as it is.

        Raises:
            UserError: for another text.
        """
        match = re.fullmatch(r"(\d+)x(\d+)", text)
        if text not in NAMED and match is None:
            raise UserError(
                f"no protocol {text!r}; there are paper, fast, and CLIPSxCROPS such as 5x10"
            )
        if text in NAMED:
            values = NAMED[text]
        else:
            values = dict(zip(("clips", "crops"), map(int, match.groups()), strict=True))
        return cls(**{**values, **_given(changes)})

    @classmethod
    def of_run(cls, data):
        """The protocol that a run measures videos by.

        Args:
            data: `DataOptions` of the run.
        """
        return cls(
            clips=data.clips_per_video, short=data.short, decode_size=data.decode_size
        )

    @classmethod
    def of_model(cls, model, text=None, **changes):
        """The protocol of the run that made a model, or another one for this model.

        `h2s train`, `h2s evaluate` and `h2s predict` all use the protocol of the run
        unless another is asked for, so that their answers are the same.

        Args:
            model: HiddenTwoStream or SavedNetwork; without a `test_protocol` the default
                of `CLIPS_PER_VIDEO` evenly spaced clips holds.
            text: as `parse`, instead of the run's number of clips; frames are read as in
                the run all the same.
            **changes: as `parse`.
        """
        stored = getattr(model, "test_protocol", None) or {}
        stored = {name: stored[name] for name in _OF_MODEL if name in stored}
        if text is not None:
            stored.pop("clips", None)
            return cls.parse(text, **{**stored, **_given(changes)})
        return cls(**{"clips": CLIPS_PER_VIDEO, **stored, **_given(changes)})

    def to_model(self):
        """What a saved model keeps of its run's protocol: a dict of plain values."""
        size = self.decode_size
        size = list(size) if isinstance(size, tuple) else size
        return {"clips": self.clips, "short": self.short, "decode_size": size}

    @property
    def views(self):
        """Views of a video, or None where that depends on its length."""
        return None if self.sampling == "sliding" else self.clips * self.crops

    def describe(self, num_frames, stride, image_size, rate=None, weights=None):
        """One line that says everything needed to take the number again.

        Args:
            num_frames, stride, image_size: of the clips that the model takes.
            rate: frames per second that videos are read at, or None.
            weights: (spatial, temporal) weights of fusion; None for a single stream.
        """
        crops = {
            1: "centre crop",
            2: "2 crops (centre, mirrored)",
            5: "5 crops (corners and centre)",
            10: "10 crops (corners and centre, mirrored)",
        }[self.crops]
        places = {
            "even": f"{self.clips} evenly spaced clip{'s' * (self.clips > 1)}",
            "segments": f"middle clips of {self.clips} equal segments",
            "sliding": f"a clip every {self.step or 'span of'} frames",
        }[self.sampling]
        if self.sampling == "segments" and self.clips == 1:
            places = "middle clip"
        if self.sampling == "sliding" and not self.step:
            places = "clips side by side over the whole video"
        pooled = "" if self.views == 1 else "averaged over views"
        if self.top_k:
            pooled = f"averaged over the {self.top_k} highest views of each class"
        fused = ""
        if weights is not None:
            fused = f"fused {weights[0]:g} : {weights[1]:g} (spatial : temporal)"
            if self.fusion == "published":
                fused += " by the published rule (negatives to 0, rows to sum 1)"
        size = "x".join(str(side) for side in image_size)
        frames = f"{num_frames} frames with stride {stride}"
        if rate is not None:
            frames += f" at {rate:g} frames per second"
        if self.short != "loop":
            frames += f" (short videos: {self.short})"
        ways = " and ".join(way for way in (pooled, fused) if way)
        ways = f", logits of each stream {ways}" if ways else ""
        read = ""
        if self.decode_size is not None:
            sides = self.decode_size
            sides = (sides,) if isinstance(sides, int) else sides
            read = f" of frames of {'x'.join(map(str, sides))}"
        return f"{places} x {crops}, {frames}, {size} pixels{read}{ways}"

    def pool(self, views):
        """Scores of one video from those of its views.

        Args:
            views: float (views, classes).

        Returns:
            float32 (classes,).
        """
        views = views.astype("float64")
        if self.top_k and len(views) > self.top_k:
            # Each class takes its own best views, whatever the others do.
            views = np.sort(views, axis=0)[-self.top_k :]
        return views.mean(axis=0).astype("float32")


def _given(changes):
    """Without those that are None."""
    return {name: value for name, value in changes.items() if value is not None}


def view_indices(protocol, length, num_frames, stride):
    """Frame numbers of every clip of a video.

    Args:
        protocol: Protocol.
        length: frames of the video, 2 or more.
        num_frames, stride: of a clip.

    Returns:
        int64 (clips, num_frames), starts rising; `protocol.short` says what becomes of a
        clip longer than the video.

    Raises:
        UserError: the video is too short under "refuse".
    """
    if protocol.sampling == "segments":
        return segment_clip_indices(
            length, num_frames, stride, protocol.clips, short=protocol.short
        )
    if protocol.sampling == "even":
        starts = even_clip_starts(length, num_frames, stride, protocol.clips)
    else:
        span = clip_span(num_frames, stride)
        last = max(0, length - span)
        starts = np.arange(0, last + 1, protocol.step or span)
        # The end of the video is seen too.
        if starts[-1] < last:
            starts = np.append(starts, last)
    return clip_indices(starts, length, num_frames, stride, protocol.short)


def crop_views(frames, image_size, crops):
    """Crops of one clip.

    Args:
        frames: uint8 (time, height, width, 3).
        image_size: (height, width) of the views.
        crops: 1, 2, 5 or 10, see Protocol.

    Yields:
        uint8 (time, *image_size, 3); the plain centre first.
    """
    boxes = ten_crop_boxes(frames.shape[1:3], image_size)
    chosen = {1: boxes[:1], 2: boxes[:2], 5: boxes[::2], 10: boxes}[crops]
    for box, mirrored in chosen:
        yield crop_frames(frames, box, image_size, mirrored)


def video_views(path, protocol, num_frames, stride, image_size, frames=None, source=None):
    """Every view of a video or of a part of it, decoding no more than it must.

    Args:
        path: the video.
        protocol: Protocol.
        num_frames, stride, image_size: of the clips that the model takes.
        frames: range of the frame numbers to look at, as from `FrameSource.frames_of` for a
            segment; None for the whole video. Clips longer than it loop inside it.
        source: `FrameSource` of the size `frame_size(image_size, protocol.decode_size)`
            that keeps what it found for further parts of the same video; None for one of
            its own.

    Yields:
        uint8 (num_frames, *image_size, 3), the crops of a clip one after the other.

    Raises:
        VideoError: the file cannot be read, or there is one frame and so no motion.

    Example:
        >>> views = video_views("jump.mp4", Protocol.parse("paper"), 11, 1, (224, 224))
        >>> sum(1 for _ in views)
        250
    """
    if source is None:
        size = frame_size(image_size, protocol.decode_size)
        source = FrameSource(size, 0, per_frame=True)
    if frames is None:
        frames = range(source.frame_count(path))
    check_moves(path, len(frames))
    try:
        clips = frames.start + view_indices(protocol, len(frames), num_frames, stride)
    except UserError as error:
        raise VideoError(path, str(error)) from error
    last_use = clips.max(axis=1)
    # The first frame that this clip or a later one still needs.
    first_use = np.minimum.accumulate(clips.min(axis=1)[::-1])[::-1]
    held, clip = {}, 0
    for number, frame in source.iterate(path, clips.ravel()):
        held[number] = frame
        # A clip is complete when its last frame is; starts rise, so they come in order.
        while last_use[clip] <= number:
            stacked = np.stack([held[index] for index in clips[clip]])
            yield from crop_views(stacked, image_size, protocol.crops)
            clip += 1
            if clip == len(clips):
                return
            for old in [index for index in held if index < first_use[clip]]:
                del held[old]
