"""Mistakes of the user, reported in one line.

Everything that a user can get wrong (a missing file, a broken video, a value in a
recipe) is raised as a `UserError`. The command line prints its text as one line and
ends with exit code 2; in Python it is an ordinary `ValueError`.
"""

import difflib
import importlib


class UserError(ValueError):
    """A mistake that the user can mend: the text says what came and what to do.

    Example:

    ```python
    if not os.path.isdir(root):
        raise UserError(f"{root}: no such folder; give the folder of class folders")
    ```
    """


def refuse_unknown(where, values, known):
    """Raises a UserError for the first of `values` that is not `known`, with a guess."""
    for key in values:
        if key not in known:
            raise UserError(f"{where}: no option {key!r}; {what_was_meant(key, known)}")


def what_was_meant(key, known):
    """The known name that is most like `key` as a question, or else all of them."""
    near = difflib.get_close_matches(key, known, 1)
    return f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(known)


def require_extra(what, extra, *modules):
    """Raises a UserError where a module that an extra installs cannot be imported.

    Args:
        what: needs the modules, for the message.
        extra: name of an extra of this package.
        *modules: names to import.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            package = module.partition(".")[0].replace("_", "-")
            raise UserError(
                f"{what} needs the package {package}; pip install 'h2s_keras[{extra}]'"
            ) from error


class FileError(UserError):
    """A file that cannot be used; the text is always one line `path: reason`.

    Args:
        path: the file, as the user named it.
        reason: what is wrong with it and how to mend it.
    """

    def __init__(self, path, reason):
        self.path = str(path)
        self.reason = " ".join(str(reason).split())
        # A line break in a file name would break the promise of one line.
        shown = (
            self.path.encode("unicode_escape").decode()
            if (any(ord(character) < 32 for character in self.path))
            else self.path
        )
        super().__init__(f"{shown}: {self.reason}")

    def __reduce__(self):
        return type(self), (self.path, self.reason)


class ImageError(FileError):
    """An image that cannot be read or written."""


class FlowFileError(FileError):
    """A file of optical flow that cannot be read or written."""


class VideoError(FileError):
    """A video that cannot be decoded as asked.

    Args:
        path: the file.
        reason: what is wrong and how to mend it.
        good_frames: how many frames were decoded before the failure.
    """

    def __init__(self, path, reason, good_frames=0):
        super().__init__(path, reason)
        self.good_frames = int(good_frames)

    def __reduce__(self):
        return type(self), (self.path, self.reason, self.good_frames)


class BrokenVideoError(VideoError):
    """A video that breaks half way: `good_frames` were decoded before the break."""


class UserFacingWarning(UserWarning):
    """A warning to the user of the command line, who gets one line of it."""


class MissingVideosWarning(UserFacingWarning):
    """Videos of a list are not there, and are left out as the caller allowed."""


class LeftOutWarning(UserFacingWarning):
    """Files that lie among the videos of a folder are not used."""


class BrokenVideoWarning(UserFacingWarning):
    """A broken video was used up to its break, as the caller allowed."""


class VideoWarning(UserFacingWarning):
    """What a video says cannot be followed; the text names what is done instead."""


class LabelsWarning(UserFacingWarning):
    """Labels that can be read in two ways, of which one was taken."""


class ServerFilesWarning(UserFacingWarning):
    """A server's configuration that was kept does not fit the version beside it."""
