"""Folders of frames as videos: the names, their numbers and gaps found out by looking."""

import collections
import dataclasses
import functools
import os
import re

from h2s_keras.errors import BrokenVideoError, ImageError, VideoError

VIDEO_SUFFIXES = frozenset(
    ".avi .divx .dv .mp4 .m4v .mov .3gp .3g2 .mkv .webm .mpg .mpeg .mpe .m2v .vob .ts .mts "
    ".m2ts .mxf .wmv .asf .flv .ogv .gif".split()
)
FRAME_SUFFIXES = frozenset(".jpg .jpeg .png .bmp .ppm .pgm".split())
# Stored flow often lies beside the frames as flow_x_00001.jpg; it is not a picture to show.
_FLOW = re.compile(r"(flow|u|v|x|y)_", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class FrameFolder:
    """A folder of numbered images without gaps.

    Attributes:
        path: the folder.
        prefix, suffix: what stands before and after the number in the file names.
        digits: width that numbers are filled up to with zeros; 1 for none.
        first: number of the first frame, 0 or 1.
        count: number of frames.
    """

    path: str
    prefix: str
    suffix: str
    digits: int
    first: int
    count: int

    @property
    def pattern(self):
        """The names for people, such as `img_%05d.jpg`."""
        width = f"0{self.digits}" if self.digits > 1 else ""
        return f"{self.prefix}%{width}d{self.suffix}"

    def file(self, index):
        """Path of frame `index`, counted from 0 whatever the file names count from."""
        return os.path.join(self.path, self._name(self.first + index))

    def _name(self, number):
        return f"{self.prefix}{number:0{self.digits}d}{self.suffix}"


def is_frame_folder(path):
    """Whether a path is a folder of images named by a number, without video files."""
    try:
        names = os.listdir(path)
    except OSError:
        return False
    return any(map(_is_frame, names)) and not any(map(is_video_name, names))


def is_video_name(name):
    """Whether a file name has the suffix of a video."""
    return os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def is_video_path(path):
    """Whether there is a video at a path: a file, or a folder of frames."""
    return os.path.isfile(path) or is_frame_folder(path)


def find_frames(path):
    """Finds the frames of a folder by the names of its files.

    The names are a prefix, a number and a suffix; the number may be filled up with zeros
    and count from 0 or from 1. Other files are passed over; where images of several
    patterns lie together, those that look like stored flow (`flow_x_00001.jpg`) are, too.

    Args:
        path: the folder.

    Returns:
        `FrameFolder`.

    Raises:
        VideoError: no such folder, no numbered images, several patterns, a number twice,
            a gap, or a first number above 1.

    Example:

    ```python
    find_frames("v_Archery_g01_c01").pattern      # "img_%05d.jpg"
    ```
    """
    path = os.fspath(path)
    try:
        changed = os.stat(path).st_mtime_ns
    except OSError as error:
        raise VideoError(path, f"cannot be read ({error.strerror})") from None
    return _find_frames(path, changed)


@functools.lru_cache(maxsize=65536)
def _find_frames(path, changed):
    try:
        names = [entry.name for entry in os.scandir(path) if _is_frame(entry.name)]
    except OSError as error:
        raise VideoError(path, f"cannot be read ({error.strerror})") from None
    if not names:
        raise VideoError(
            path,
            "is a folder without numbered images (such as img_00001.jpg); give a video "
            f"file or a folder of frames ({', '.join(sorted(FRAME_SUFFIXES))})",
        )
    patterns = collections.defaultdict(list)
    for name in names:
        prefix, number, suffix = _split(name)
        patterns[prefix, suffix].append(number)
    if len(patterns) > 1:
        shown = [key for key in patterns if not _FLOW.match(key[0])]
        if len(shown) != 1:
            shown = sorted(f"{prefix}NUMBER{suffix}" for prefix, suffix in patterns)
            raise VideoError(
                path,
                f"holds images of several patterns ({', '.join(shown[:4])}); keep the "
                "frames of one video in a folder",
            )
        patterns = {shown[0]: patterns[shown[0]]}
    ((prefix, suffix), texts) = next(iter(patterns.items()))
    return _checked(path, prefix, suffix, texts)


def _is_frame(name):
    stem, suffix = os.path.splitext(name)
    return (
        suffix.lower() in FRAME_SUFFIXES
        and not name.startswith(".")
        and any(character.isdecimal() and character.isascii() for character in stem)
    )


def _split(name):
    """(prefix, digits, suffix) around the last number of the stem."""
    stem, ending = os.path.splitext(name)
    after, digits, before = re.fullmatch(
        r"([^0-9]*)([0-9]+)(.*)", stem[::-1], re.S
    ).groups()
    return before[::-1], digits[::-1], after[::-1] + ending


def _checked(path, prefix, suffix, texts):
    filled = [len(text) for text in texts if text.startswith("0") and len(text) > 1]
    digits = min(map(len, texts)) if filled else 1
    numbers = sorted(int(text) for text in texts)
    first, last = numbers[0], numbers[-1]
    folder = FrameFolder(path, prefix, suffix, digits, first, len(numbers))
    twice = next((a for a, b in zip(numbers, numbers[1:], strict=False) if a == b), None)
    if twice is not None:
        raise VideoError(
            path, f"holds number {twice} twice, filled up differently; remove one of them"
        )
    names = {f"{prefix}{text}{suffix}" for text in texts}
    odd = next((n for n in numbers if folder._name(n) not in names), None)
    if odd is not None:
        raise VideoError(
            path,
            f"number {odd} is not filled up with zeros like {folder.pattern}; rename it",
        )
    known = set(numbers)
    missing = [n for n in range(min(first, 1), last + 1) if n not in known]
    if missing:
        raise VideoError(
            path,
            f"frame {folder._name(missing[0])} is missing ({len(missing)} missing up to "
            f"number {last}); {_cure(numbers)}",
        )
    return folder


def _cure(numbers):
    """What to do about frames whose rising numbers are not 0, 1, 2, ... or 1, 2, 3, ..."""
    first, again = numbers[0], "else extract the frames again"
    steps = {b - a for a, b in zip(numbers, numbers[1:], strict=False)}
    if steps <= {1}:
        return (
            f"they count from {first}: if the video begins there, rename them to count "
            f"from 1, {again}"
        )
    if len(steps) == 1 and len(numbers) > 2:
        step = steps.pop()
        return (
            f"they count in steps of {step}: if only every {step}th frame was kept, rename "
            f"them to count 1, 2, 3, ... and give their rate, that of the video divided by "
            f"{step}, {again}"
        )
    return "extract the frames again"


def folder_frames(path, wanted=None):
    """Decodes the frames of a folder in order.

    Args:
        path: the folder.
        wanted: rising frame numbers from 0; None for all. Those beyond the end are left
            out, and no other file is opened.

    Yields:
        `(number, av.VideoFrame)`.

    Raises:
        VideoError: as `find_frames`; no frame can be decoded.
        BrokenVideoError: a later image is broken or has another size.
    """
    from h2s_keras.data.video.images import decode_image_frame

    folder = find_frames(path)
    size = None
    for number in range(folder.count) if wanted is None else wanted:
        if number >= folder.count:
            return
        name = os.path.basename(folder.file(number))
        try:
            frame = decode_image_frame(folder.file(number))
        except ImageError as error:
            _break(path, number, f"{name} {error.reason}")
        if size not in (None, (frame.width, frame.height)):
            _break(
                path,
                number,
                f"{name} has {frame.width} x {frame.height} pixels, those before it "
                f"{size[0]} x {size[1]}; extract the frames again",
            )
        size = frame.width, frame.height
        yield int(number), frame


def _break(path, number, reason):
    if number == 0:
        raise VideoError(path, f"gives no decodable frame ({reason})") from None
    raise BrokenVideoError(
        path, f"breaks after {number} good frames ({reason})", number
    ) from None
