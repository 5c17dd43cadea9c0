"""What several commands take: videos, and the rate that they are read at."""

import math
import os
import sys

from h2s_keras.errors import FileError, UserError


def find_videos(names):
    """Paths of the videos that a command line names.

    Args:
        names: videos, folders of videos at any depth, and "-" for a list on standard input.

    Returns:
        list of paths; a `FileError` takes the place of a name that cannot be used.

    Raises:
        UserError: nothing is named.
    """
    from h2s_keras.data.datasets.sources import videos_below, warn_of_left_out
    from h2s_keras.data.video.frame_folder import is_frame_folder

    found = []
    for name in names:
        if name == "-":
            found += [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
        elif os.path.isdir(name) and not is_frame_folder(name):
            below = videos_below(name)
            if below.videos:
                warn_of_left_out(name, below.others)
                found += below.videos
            else:
                found.append(FileError(name, "holds no videos; give a folder that does"))
        elif not os.path.exists(name) and "://" not in name:
            found.append(FileError(name, "no such file or folder; check the name"))
        else:
            found.append(name)
    if not found:
        raise UserError("the list on stdin names no video")
    return found


def check_rate(rate):
    """Raises a UserError for a --rate that is no rate; None is."""
    if rate is not None and not 0 < rate < math.inf:
        raise UserError(f"--rate is above 0 frames per second; received {rate:g}")
