import dataclasses
import itertools
import os
import re
import warnings

from h2s_keras.data.video.frame_folder import is_frame_folder, is_video_name, is_video_path
from h2s_keras.errors import FileError, MissingVideosWarning, UserError


@dataclasses.dataclass(frozen=True)
class DatasetList:
    """What a dataset's official files say: classes, training and test examples.

    Attributes:
        name: name of the dataset and split, for people.
        class_names: tuple of str in the order of the labels.
        train, test: tuples of `VideoExample`; several examples of one video where it is
            untrimmed and each example is a segment.
        left_out: tuple of paths of files beside the videos that are not used.

    Example:

    ```python
    listed = ucf101_list("ucfTrainTestlist", root="UCF-101", split=1)
    print(listed.counts())      # {"train": 9537, "test": 3783}
    ```
    """

    name: str
    class_names: tuple
    train: tuple
    test: tuple
    left_out: tuple = ()

    def counts(self):
        """Numbers of examples, videos and classes."""
        parts = {"train": self.train, "test": self.test}
        return {
            "classes": len(self.class_names),
            **{name: len(examples) for name, examples in parts.items()},
            **{
                f"{name}_videos": len({example.path for example in examples})
                for name, examples in parts.items()
            },
        }

    def missing(self):
        """Paths of listed videos that are not on disk, in the order of the lists."""
        paths = dict.fromkeys(example.path for example in (*self.train, *self.test))
        return [path for path in paths if not is_video_path(path)]

    def require_videos(self, allow_missing=False):
        """Raises a UserError that names the first missing video and counts the rest.

        With `allow_missing` that is one only where all videos are missing, else a warning.
        """
        missing = self.missing()
        videos = len({example.path for example in (*self.train, *self.test)})
        if allow_missing and 0 < len(missing) < videos:
            warnings.warn(
                f"{missing[0]}: {why_missing(missing[0])}, listed by {self.name} "
                f"({len(missing)} of {videos} videos are missing and left out)",
                MissingVideosWarning,
                stacklevel=2,
            )
        elif missing:
            raise FileError(
                missing[0],
                f"{why_missing(missing[0])}, listed by {self.name} ({len(missing)} of "
                f"{videos} videos are missing); fetch them or set the root folder",
            )
        return self


def why_missing(path):
    """Why no video is found at a path, in a few words."""
    if os.path.islink(path):
        return f"a link to {os.readlink(path)}, which is not there (is its disk mounted?)"
    if "\\" in path:
        return "no such file, for it is a path of Windows (list it relative to the root)"
    return "no such file"


def path_here(listed):
    r"""A path that Windows wrote as this system does: `D:\walk\a.avi` is `/walk/a.avi`."""
    if os.sep == "\\" or "\\" not in listed or "/" in listed:
        return listed
    return re.sub(r"^[A-Za-z]:", "", listed).replace("\\", "/")


def listed_below(root, listed):
    """Where a listed path lies below a folder, or should."""
    joined = os.path.join(root, listed)
    here = os.path.join(root, path_here(listed))
    return here if is_video_path(here) and not is_video_path(joined) else joined


# Tried in turn where a list names videos without one.
_SUFFIXES = (".mp4", ".avi", ".mkv", ".webm")


class VideoFinder:
    """Finds listed videos on disk despite the spellings that are about.

    UCF101 lists `HandstandPushups/v_HandStandPushups_g01_c01.avi`, and copies spell the
    file, the folder or neither like that; some copies keep all videos in one folder, or a
    folder of frames instead of each video.

    Args:
        root: folder of the videos, or None: paths are then returned as listed.
    """

    def __init__(self, root):
        self.root = None if root is None else os.fspath(root)
        self._known = {}
        if self.root is None:
            return
        if not os.path.isdir(self.root):
            raise UserError(f"{self.root}: no such folder; give the folder of the videos")
        for folder, names in _folders_below(self.root):
            if folder != self.root and is_frame_folder(folder):
                self._note(folder)
                continue
            for name in names:
                self._note(os.path.join(folder, name))

    def _note(self, path):
        *folders, name = os.path.relpath(path, self.root).lower().split(os.sep)
        self._known.setdefault(name, []).append((folders, path))

    def find(self, listed):
        """Path of a listed video: where it is, or where it was expected.

        Of several files with the listed name it is the one with the most folders above it
        in common.

        Raises:
            UserError: several files have equally many.
        """
        if self.root is None:
            return listed
        expected = self.expected(listed)
        *above, stem = listed.lower().split("/")
        names = [stem, *(stem + suffix for suffix in _SUFFIXES)]
        if is_video_name(stem):
            names.append(os.path.splitext(stem)[0])  # A folder of frames.
        fits = {}
        for place, name in enumerate(names):
            for folders, path in self._known.get(name, ()):
                common = _common_end(folders, above)
                rank = (common, common == len(folders), path == expected, -place)
                fits.setdefault(rank, []).append(path)
        best = fits[max(fits)] if fits else [expected]
        if len(best) > 1:
            raise FileError(
                listed,
                f"may be {best[0]} or {best[1]}; list more of the path, or give a root "
                "folder that holds one of them",
            )
        return best[0]

    def expected(self, listed):
        """Where a video that is not found should be."""
        return listed if self.root is None else os.path.join(self.root, listed)


def _folders_below(root):
    """(folder, names of its files) of every folder, links followed after all others.

    Each is given once, whatever leads there: links may lead back to where they lie.
    """
    tops, seen = [root], set()
    while tops:
        for folder, below, names in os.walk(tops.pop(0)):
            real = os.path.realpath(folder)
            if real in seen:
                below.clear()
                continue
            seen.add(real)
            paths = (os.path.join(folder, name) for name in sorted(below))
            tops += filter(os.path.islink, paths)
            yield folder, names


def _common_end(one, other):
    """How many of their last parts two lists share."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def read_lines(path):
    """Non-empty lines of a text file, without its byte order mark.

    Raises:
        UserError: if it is missing or no text.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return [line.strip() for line in file if line.strip()]
    except FileNotFoundError:
        raise FileError(
            path, "no such file; check the name, or the folder of the official lists"
        ) from None
    except (UnicodeDecodeError, IsADirectoryError):
        raise FileError(path, "is not a text file in UTF-8; fetch it again") from None


def check_split(split):
    """Refuses anything but 1, 2 or 3."""
    if split not in (1, 2, 3):
        raise UserError(f"the official splits are 1, 2 and 3; received {split!r}")
