import dataclasses
import re

import numpy as np

from h2s_keras.errors import UserError

SAMPLINGS = ("even", "segments", "sliding")
CROPS = (1, 2, 5, 10)


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

    Raises:
        UserError: a number is out of range, or numbers that do not belong together.

    Example:
        >>> Protocol.parse("paper").views
        250
        >>> Protocol.parse("5x2").describe(11, 1, (224, 224))
        '5 evenly spaced clips x 2 crops (centre, mirrored), 11 frames with stride 1, ...'

    Source: arXiv 1704.00389, section 4.1; TSN (arXiv 1608.00859), section 4.3.
    """

    clips: int = 1
    crops: int = 1
    sampling: str = "even"
    step: int = 0
    top_k: int = 0

    def __post_init__(self):
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
        named = {"paper": (25, 10), "fast": (1, 1)}
        sampling = "segments" if text == "fast" else "even"
        match = re.fullmatch(r"(\d+)x(\d+)", text)
        if text not in named and match is None:
            raise UserError(
                f"no protocol {text!r}; there are paper, fast, and CLIPSxCROPS such as 5x10"
            )
        clips, crops = named[text] if text in named else map(int, match.groups())
        changes = {name: value for name, value in changes.items() if value is not None}
        values = {"clips": clips, "crops": crops, "sampling": sampling}
        return cls(**{**values, **changes})

    @property
    def views(self):
        """Views of a video, or None where that depends on its length."""
        return None if self.sampling == "sliding" else self.clips * self.crops

    def describe(self, num_frames, stride, image_size):
        """One line that says everything needed to take the number again."""
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
        pooled = "" if self.views == 1 else "averaged over views, then "
        if self.top_k:
            pooled = f"averaged over the {self.top_k} highest views of each class, then "
        size = "x".join(str(side) for side in image_size)
        return (
            f"{places} x {crops}, {num_frames} frames with stride {stride}, {size} pixels, "
            f"logits of each stream {pooled}fused"
        )

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
