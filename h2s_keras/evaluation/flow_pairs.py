"""Finds pairs of frames and their true flow in the folders of the benchmarks."""

import dataclasses
import os
import re

import numpy as np

from h2s_keras.data.flow_files import read_flow
from h2s_keras.data.video.images import read_image
from h2s_keras.errors import FileError

_IMAGES = (".png", ".ppm", ".jpg", ".jpeg", ".bmp")


@dataclasses.dataclass(frozen=True)
class FlowPair:
    """Two frames and, where it is known, the file of the flow between them.

    Attributes:
        name: to show, unique in its folder.
        first, second: paths of the frames.
        truth: path of a .flo or KITTI .png file, or None.
    """

    name: str
    first: str
    second: str
    truth: str | None = None

    def read(self):
        """(frames uint8 (2, height, width, 3), flow float32 (height, width, 2) or None).

        Unknown flow is NaN.

        Raises:
            FileError: a file cannot be read, or sizes differ.
        """
        first, second = read_image(self.first), read_image(self.second)
        if first.shape != second.shape:
            raise FileError(self.second, f"is not of the size of {self.first}")
        truth = None
        if self.truth is not None:
            truth = read_flow(self.truth)
            if truth.shape[:2] != first.shape[:2]:
                raise FileError(
                    self.truth,
                    f"is {truth.shape[1]}x{truth.shape[0]} pixels, its frames are "
                    f"{first.shape[1]}x{first.shape[0]}",
                )
        return np.stack([first, second]), truth


def find_flow_pairs(root):
    """All pairs below a folder, by the layout that its names show.

    - Middlebury: `[sequence/]frame10.png frame11.png flow10.flo`
    - KITTI: `image_2/000000_10.png 000000_11.png` beside `flow_occ/000000_10.png`
      (or `flow_noc`; `image_0`, `colored_0` in the older one)
    - FlyingChairs: `00001_img1.ppm 00001_img2.ppm 00001_flow.flo`
    - a folder of images alone: neighbours in order of name, without true flow.

    Args:
        root: the folder.

    Returns:
        tuple of FlowPair, sorted by name.

    Raises:
        FileError: no such folder, no pairs in it, or true flow whose frames are missing.

    Example:
        >>> [pair.name for pair in find_flow_pairs("flow")]
        ['Hydrangea/frame10', 'RubberWhale/frame10', 'Venus/frame10']
    """
    root = os.fspath(root)
    if not os.path.isdir(root):
        raise FileError(root, "no such folder; give one with frames and flow")
    pairs = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names = {name for name in files if not name.startswith(".")}
        prefix = os.path.relpath(folder, root)
        prefix = "" if prefix == "." else prefix + "/"
        if os.path.basename(folder) in ("flow_occ", "flow_noc"):
            # Non-occluded truth is a part of the occluded one: one of them is enough.
            if not (folder.endswith("noc") and os.path.isdir(folder[:-3] + "occ")):
                pairs += _kitti(folder, names, prefix)
        else:
            pairs += _beside(folder, names, prefix)
    if not pairs:
        pairs = _unlabelled_pairs(root)
    if not pairs:
        raise FileError(
            root,
            "holds no pairs of frames (frame10.png frame11.png flow10.flo, KITTI's "
            "image_2 and flow_occ, 00001_img1.ppm 00001_img2.ppm 00001_flow.flo, or "
            "two images or more)",
        )
    return tuple(sorted(pairs, key=lambda pair: pair.name))


def _beside(folder, names, prefix):
    """Pairs whose true flow lies beside the frames."""
    pairs = []
    for name in sorted(names):
        stem = name[: -len(".flo")]
        if not name.lower().endswith(".flo"):
            continue
        number = re.fullmatch(r"flow(\d+)", stem)
        if number:
            digits = number.group(1)
            following = f"{int(digits) + 1:0{len(digits)}d}"
            stems = f"frame{digits}", f"frame{following}"
        elif stem.endswith("_flow"):
            stems = stem[:-5] + "_img1", stem[:-5] + "_img2"
        else:
            continue
        frames = [_image(folder, names, one) for one in stems]
        truth = os.path.join(folder, name)
        for one, frame in zip(stems, frames, strict=True):
            if frame is None:
                raise FileError(truth, f"its frame {one}.png (or .ppm) is missing")
        pairs.append(FlowPair(prefix + stems[0], *frames, truth))
    return pairs


def _kitti(folder, names, prefix):
    above = os.path.dirname(folder)
    image_folder = next(
        (
            os.path.join(above, name)
            for name in ("image_2", "colored_0", "image_0")
            if os.path.isdir(os.path.join(above, name))
        ),
        None,
    )
    if image_folder is None:
        raise FileError(folder, "has no folder image_2, colored_0 or image_0 beside it")
    pairs = []
    for name in sorted(name for name in names if name.endswith("_10.png")):
        first = os.path.join(image_folder, name)
        second = os.path.join(image_folder, name[:-6] + "11.png")
        for frame in (first, second):
            if not os.path.isfile(frame):
                raise FileError(frame, f"no such frame, but {name} has true flow")
        pairs.append(
            FlowPair(prefix + name[:-4], first, second, os.path.join(folder, name))
        )
    return pairs


def _image(folder, names, stem):
    for suffix in _IMAGES:
        if stem + suffix in names:
            return os.path.join(folder, stem + suffix)
    return None


def _unlabelled_pairs(root):
    """Neighbouring images of each folder, where there is no true flow anywhere."""
    pairs = []
    for folder, _, files in os.walk(root):
        images = sorted(name for name in files if name.lower().endswith(_IMAGES))
        prefix = os.path.relpath(folder, root)
        prefix = "" if prefix == "." else prefix + "/"
        for one, two in zip(images, images[1:], strict=False):
            paths = os.path.join(folder, one), os.path.join(folder, two)
            pairs.append(FlowPair(prefix + os.path.splitext(one)[0], *paths))
    return pairs
