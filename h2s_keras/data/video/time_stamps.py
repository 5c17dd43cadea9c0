"""Time stamps of decoded frames where those of the container do not simply rise."""

import warnings

from h2s_keras.errors import VideoWarning

# Formats that recordings are joined in by appending files, each with stamps of its own.
JOINED = ("mpegts", "mpeg")
# Seconds: FFmpeg's own program takes a longer step for a join, too.
MAX_STEP = 10


def stamps_of(container, path):
    """What sets the stamps of lists of frames, called on each list in order."""
    name = container.format.name
    if name == "avi":
        return _AsShown()
    return _Joined(path) if name in JOINED else lambda frames: frames


class _AsShown:
    """Stamps of an AVI file's frames in the order they are shown.

    The file only says when a packet is decoded. With B-frames such a stamp is that of
    another frame, and they fall; the stamps of the packets that brought frames out rise.
    """

    def __init__(self):
        self.last = None

    def __call__(self, frames):
        for frame in frames:
            if frame.dts is not None:
                frame.pts = frame.dts
            elif self.last is not None:
                # At the end no packet brings a frame out; a tick of AVI is one frame.
                frame.pts = self.last + 1
            self.last = frame.pts
        return frames


class _Joined:
    """Stamps that go on evenly where recordings were joined, with one warning."""

    def __init__(self, path):
        self.path = path
        self.offset, self.step, self.last = 0, 0, None

    def __call__(self, frames):
        for frame in frames:
            if frame.pts is None or not frame.time_base:
                continue
            stamp = frame.pts + self.offset
            if self.last is not None:
                step = stamp - self.last
                if step < 0 or step * frame.time_base > MAX_STEP:
                    warnings.warn(
                        f"{self.path}: its time stamps jump (joined recordings?); seconds "
                        "are counted as if they went on evenly",
                        VideoWarning,
                        stacklevel=2,
                    )
                    self.offset += self.step - step
                    stamp = self.last + self.step
                else:
                    self.step = step
            frame.pts = self.last = stamp
        return frames
