"""The one source of frames: whatever is read of a video for a clip comes from here."""

import contextlib
import operator
import os
import threading

import numpy as np

from h2s_keras.data.clips.process_end import ENDING, EndingError
from h2s_keras.data.segments import segment_frames
from h2s_keras.data.video.conversion import FrameConverter
from h2s_keras.data.video.decoder import (
    decoded_frames,
    limited_folder_frames,
    open_container,
    video_stream,
)
from h2s_keras.data.video.frame_folder import find_frames
from h2s_keras.data.video.frame_index import FrameIndexer, SeenFrame, numbered_frames
from h2s_keras.data.video.reading import (
    MAX_BYTES,
    iterate_frames,
    keep_or_raise,
    read_frames,
)
from h2s_keras.data.video.time_stamps import frames_shown
from h2s_keras.errors import BrokenVideoError, UserError, VideoError

_SEEN = operator.attrgetter(*SeenFrame._fields)


class FrameSource:
    """Frames of videos for many readers: cached while memory lasts, else found by seeking.

    The first reading of a file decodes all of it, which tells whether it is whole, how
    many frames it has, and where later readings may seek to (see `frame_index`). The
    frames that are wanted are taken on the way, so that one reading opens the file once.

    Args:
        size: size of the frames, as `read_frames`.
        cache_bytes: most memory for frames; videos beyond are decoded each time.
        timeout: seconds that one video may take to decode, or None.
        rate: frames per second to read videos at, or None for their frames as they are; of
            a folder of frames the rate that it was extracted at.
        per_frame: whether `timeout` is from one frame to the next, so that a video may be
            of any length.
        on_broken: `"raise"`, or `"keep"` for the frames before a break, as `read_frames`.
            Videos that are kept so are not found again by seeking.

    Attributes:
        counts: dict of path to number of frames, of the videos read so far.
    """

    def __init__(
        self,
        size,
        cache_bytes=1e9,
        timeout=60,
        rate=None,
        per_frame=False,
        on_broken="raise",
    ):
        if rate is not None and not rate > 0:
            raise UserError(f"`rate` must be above 0 frames per second. Received: {rate}")
        self.size, self.rate = size, rate
        self.cache_bytes, self.timeout = int(cache_bytes), timeout
        self.per_frame, self.on_broken = per_frame, on_broken
        self.used = 0
        self.videos, self.counts, self.errors = {}, {}, {}
        self.indices, self.moments = {}, {}
        self.lock = threading.Lock()
        self.path_locks = {}

    def read(self, path, choose, times=None):
        """Frames at `choose(frame_count)`, int (...,), as uint8 (..., height, width, 3).

        Args:
            path: the video.
            choose: function of the number of frames; it may be called twice, and what it
                returns must follow from the number.
            times: `NotedTimes` that notes the frames of a source that keeps broken videos,
                where it reads the video for the first time; or None.

        Raises:
            VideoError: the video is bad, which is raised again at every later reading, or
                `choose` raised a `UserError` for its count.
        """
        with self._visited(path, choose, times) as found:
            try:
                numbers = choose(self.counts[path])
            except VideoError:
                raise
            except UserError as error:
                raise VideoError(path, error) from None
            return self._taken(path, numbers, found)

    def iterate(self, path, numbers):
        """Yields (number, uint8 (height, width, 3)), numbers rising, each once.

        Nothing is kept, so that memory stays flat whatever the length of the video.

        Args:
            path: the video.
            numbers: integers from 0, below `frame_count`, in any order.

        Raises:
            VideoError: the video is bad, or gives other frames than at the first look.
        """
        self.frame_count(path)
        wanted = np.unique(numbers)
        moments = self.moments.get(path)
        sources = wanted if moments is None else moments[wanted]
        convert, place = FrameConverter(self.size, path), 0
        frames = numbered_frames(
            path, np.unique(sources).tolist(), self.timeout, self.indices.get(path), True
        )
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

    def frame_count(self, path):
        """Number of frames of a video, at the rate of the source.

        Raises:
            VideoError: the video is bad, which is raised again whenever it is asked for.
        """
        with self._visited(path, None, None):
            return self.counts[path]

    def frames_of(self, example, frame_count=None):
        """Numbers of the frames that belong to a `VideoExample`, as a range.

        Args:
            example: `VideoExample`.
            frame_count: number of frames of its video where it is known.

        Raises:
            VideoError: as `frame_count`, or the video is shorter than the example says.
        """
        if frame_count is None:
            frame_count = self.frame_count(example.path)
        index = self.indices.get(example.path)
        first, length = segment_frames(example, frame_count, self.rate, index)
        return range(first, first + length)

    @contextlib.contextmanager
    def _visited(self, path, choose, times):
        """Holds a video that was read once: gives what was found on the way, by number."""
        with self.lock:
            path_lock = self.path_locks.setdefault(path, threading.Lock())
        with path_lock:
            if path in self.errors:
                raise self.errors[path]
            try:
                found = {} if path in self.counts else self._visit(path, choose, times)
            except VideoError as error:
                self.errors[path] = error
                raise
            yield found

    def _taken(self, path, numbers, found):
        if path in self.moments:
            numbers = self.moments[path][numbers]
        frames = self.videos.get(path)
        if frames is not None:
            stacked = np.stack([frames[number] for number in numbers.ravel()])
            return stacked.reshape(*numbers.shape, *stacked.shape[1:])
        needed, place = np.unique(numbers.ravel(), return_inverse=True)
        if all(number in found for number in needed):
            read = np.stack([found[number] for number in needed])
        else:
            read = read_frames(
                path,
                needed,
                size=self.size,
                on_broken=self.on_broken,
                timeout=self.timeout,
                index=self.indices.get(path),
                per_frame=self.per_frame,
            )
        if len(needed) == numbers.size and (place[1:] > place[:-1]).all():
            return read.reshape(*numbers.shape, *read.shape[1:])
        return read[place.reshape(numbers.shape)]

    def _visit(self, path, choose, times):
        """Decodes a video once; returns what was seen of the frames that will be wanted."""
        if os.path.isdir(path) and self.on_broken == "raise":
            self._visit_folder(path)
            return {}
        convert, indexer, found = FrameConverter(self.size, path), FrameIndexer(), {}
        likely, seen, seekable = frozenset(), [], False
        with self._opened(path) as (frames, claimed, own_rate), _Cache(self) as cache:
            try:
                for number, frame in enumerate(frames):
                    if ENDING.is_set():
                        raise EndingError
                    if number == 0:
                        size = convert.picture_bytes(frame)
                        cache.expect(claimed * size)
                        # A video that is kept need not be found again by seeking.
                        seekable = not cache.open and self.on_broken == "raise"
                        if not cache.open and choose is not None:
                            self.indices[path] = _even_index(claimed, own_rate)
                            likely = self._likely(claimed, own_rate, choose)
                            if size * len(likely) > MAX_BYTES:
                                likely = frozenset()
                    if seekable:
                        indexer.add(frame)
                    else:
                        seen.append(SeenFrame(*_SEEN(frame)))
                    if cache.open or number in likely:
                        picture = convert(frame)
                        cache.add(picture)
                        if number in likely:
                            found[number] = picture
            except BrokenVideoError as error:
                keep_or_raise(error, self.on_broken)
            indexer.add_seen(seen)
            if times is not None:
                times.note_all(seen)
            # What is wrong with the whole of it gives the cache's memory back, too.
            index = indexer.index()
            count = len(index.stamps)
            if self.rate is not None and not os.path.isdir(path):
                self.moments[path] = frames_shown(index, self.rate, path)
                count = len(self.moments[path])
            self.indices[path], self.counts[path] = index, count
            cache.keep(path)
        return found

    @contextlib.contextmanager
    def _opened(self, path):
        """(decoded frames, how many they seem to be or 0, their rate or None)."""
        if os.path.isdir(path):
            frames = limited_folder_frames(path, None, self.timeout, self.per_frame)
            yield (frame for _, frame in frames), find_frames(path).count, None
            return
        with open_container(path, self.timeout) as container:
            stream = video_stream(container, path)
            frames = decoded_frames(container, stream, path, self.timeout, self.per_frame)
            claimed = self._claimed_frames(container, stream)
            yield frames, claimed, stream.average_rate

    def _claimed_frames(self, container, stream):
        """Number of frames by the header, or 0; good for guesses only."""
        if stream.frames:
            return stream.frames
        if container.duration and stream.average_rate:
            return round(container.duration / 1e6 * float(stream.average_rate))
        return 0

    def _likely(self, count, own_rate, choose):
        """Frame numbers that `choose` will want if the header is right."""
        step = 1.0
        if self.rate is not None and own_rate:
            step = float(own_rate) / self.rate
        try:
            chosen = choose(int((count - 1) / step) + 1) if count else ()
        except UserError:
            return frozenset()
        numbers = np.ravel(chosen)
        if self.rate is None or not own_rate:
            return frozenset(numbers.tolist())
        # Which frame is shown at a moment depends on how the time stamps were rounded.
        near = np.floor(numbers * step).astype(int) + np.array([[-1], [0], [1]])
        return frozenset(near.ravel().tolist())

    def _visit_folder(self, path):
        folder = find_frames(path)
        # The first and the last frame tell whether the names mean what they say.
        read_frames(path, sorted({0, folder.count - 1}), size=8, timeout=self.timeout)
        self.counts[path] = folder.count
        if self.used < self.cache_bytes:
            with _Cache(self) as cache:
                try:
                    for frame in iterate_frames(path, self.size, timeout=self.timeout):
                        cache.add(frame)
                        if not cache.open:
                            break
                except VideoError:
                    cache.close()  # Raised by the clips that meet the broken frame.
            cache.keep(path)


def _even_index(count, rate):
    """A guess at the `FrameIndex` of a file by its header, until the file was decoded."""
    indexer = FrameIndexer()
    indexer.stamps = list(range(count))
    indexer.tick = 1 / rate if rate else None
    indexer.checked = False
    return indexer.index()


class _Cache:
    """Frames of one video on their way into the source, within its limit of memory."""

    def __init__(self, source):
        self.source, self.frames, self.held = source, [], 0
        self.open = source.used < source.cache_bytes

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            self.close()

    def expect(self, size):
        """Gives up at once where so many bytes will not fit."""
        if self.source.used + size > self.source.cache_bytes:
            self.close()

    def add(self, frame):
        if not self.open:
            return
        with self.source.lock:
            fits = self.source.used + frame.nbytes <= self.source.cache_bytes
            if fits:
                self.source.used += frame.nbytes
                self.held += frame.nbytes
        if fits:
            self.frames.append(frame)
        else:
            self.close()

    def close(self):
        """Gives up: the video is too long for what is left."""
        with self.source.lock:
            self.source.used -= self.held
        self.open, self.frames, self.held = False, [], 0

    def keep(self, path):
        """Puts the whole video into the source, unless it was given up."""
        if self.open:
            self.source.videos[path] = self.frames
