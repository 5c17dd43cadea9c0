import dataclasses
import os

import numpy as np

from h2s_keras.data.datasets.segments import segment_frames
from h2s_keras.data.video.conversion import FrameConverter
from h2s_keras.data.video.decoder import open_and_decode
from h2s_keras.data.video.frame_folder import find_frames
from h2s_keras.data.video.frame_index import FrameIndex, FrameIndexer, numbered_frames
from h2s_keras.data.video.resampling import frames_shown
from h2s_keras.errors import VideoError


class FrameReader:
    """Reads parts of videos one frame at a time, in flat memory, and finds them again.

    The first look at a file decodes it whole, converting nothing: that tells its length and
    where later readings may seek to (see `frame_index`). Many segments of one video thus
    cost one whole decoding and their own frames.

    Args:
        size: of the frames, as `read_frames`.
        rate: frames per second to read the videos at, or None for their frames as they are;
            of a folder of frames the rate that it was extracted at.
        timeout: seconds that decoding may take from one frame to the next, or None.

    Example:

    ```python
    reader = FrameReader(size=256)
    frames = reader.frames_of(VideoExample("games.mp4", 0, start=12.5, end=17.0))
    clip = [frame for number, frame in reader.read("games.mp4", frames[:11])]
    ```
    """

    def __init__(self, size, rate=None, timeout=60):
        self.size, self.rate, self.timeout = size, rate, timeout
        self._videos, self._errors = {}, {}

    def frame_count(self, path):
        """Number of frames of a video, at the reader's rate.

        Raises:
            VideoError: the video is bad, which is told again whenever it is asked for.
        """
        return self._video(path).count

    def frames_of(self, example):
        """Numbers of the frames that belong to a `VideoExample`, as a range.

        Raises:
            VideoError: as `frame_count`, or the video is shorter than the example says.
        """
        video = self._video(example.path)
        first, length = segment_frames(example, video.count, self.rate, video.index)
        return range(first, first + length)

    def read(self, path, numbers):
        """Yields (number, uint8 (height, width, 3)), numbers rising, each once.

        Args:
            path: the video.
            numbers: integers from 0, below `frame_count`, in any order.

        Raises:
            VideoError: the video is bad, or gives other frames than at the first look.
        """
        video = self._video(path)
        wanted = np.unique(numbers)
        sources = wanted if video.moments is None else video.moments[wanted]
        convert, place = FrameConverter(self.size, path), 0
        rising = np.unique(sources).tolist()
        frames = numbered_frames(path, rising, self.timeout, video.index, per_frame=True)
        for source, frame in frames:
            convert.look(frame)
            if source != sources[place]:
                continue
            picture = convert(frame)
            # At a rate above the video's own, a frame is shown several times.
            while place < len(wanted) and sources[place] == source:
                yield int(wanted[place]), picture
                place += 1
            if place == len(wanted):
                return
        raise VideoError(
            path, f"now ends before frame {int(sources[-1])}; was it changed meanwhile?"
        )

    def _video(self, path):
        if path in self._errors:
            raise self._errors[path]
        if path not in self._videos:
            try:
                self._videos[path] = self._visit(path)
            except VideoError as error:
                self._errors[path] = error
                raise
        return self._videos[path]

    def _visit(self, path):
        if os.path.isdir(path):
            return _Video(find_frames(path).count)
        indexer = FrameIndexer()
        for frame in open_and_decode(path, self.timeout, per_frame=True):
            indexer.add(frame)
        index = indexer.index()
        if self.rate is None:
            return _Video(len(index.stamps), index)
        moments = frames_shown(index, self.rate, path)
        return _Video(len(moments), index, moments)


@dataclasses.dataclass(frozen=True)
class _Video:
    """What the first look found: frames at the rate, the index, and moments as frames."""

    count: int
    index: FrameIndex | None = None
    moments: np.ndarray | None = None
