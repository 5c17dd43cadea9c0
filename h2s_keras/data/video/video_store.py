import os
import threading

import numpy as np

from h2s_keras.data.clips.process_end import check_running
from h2s_keras.data.video.conversion import FrameConverter
from h2s_keras.data.video.decoder import decoded_frames, open_container, video_stream
from h2s_keras.data.video.frame_folder import find_frames
from h2s_keras.data.video.frame_index import FrameIndexer
from h2s_keras.data.video.reading import iterate_frames, read_frames
from h2s_keras.data.video.resampling import frames_shown
from h2s_keras.errors import UserError, VideoError


class VideoStore:
    """Frames of videos for many readers: cached while memory lasts, else found by seeking.

    The first reading of a file decodes all of it, which tells whether it is whole, how
    many frames it has, and where later readings may seek to (see `frame_index`).

    Args:
        size: of the frames, as `read_frames`.
        cache_bytes: most memory for frames; videos beyond are decoded each time.
        timeout: seconds that one video may take to decode, or None.
        rate: frames per second to read videos at, or None for their frames as they are; of
            a folder of frames the rate that it was extracted at.

    Attributes:
        counts: dict of path to number of frames, of the videos read so far.
    """

    def __init__(self, size, cache_bytes=1e9, timeout=60, rate=None):
        if rate is not None and not rate > 0:
            raise UserError(f"`rate` must be above 0 frames per second. Received: {rate}")
        self.size, self.rate = size, rate
        self.cache_bytes, self.timeout = int(cache_bytes), timeout
        self.used = 0
        self.videos, self.counts, self.errors = {}, {}, {}
        self.indices, self.moments = {}, {}
        self.lock = threading.Lock()
        self.path_locks = {}

    def read(self, path, choose):
        """Frames at `choose(frame_count)`, int (...,), as uint8 (..., height, width, 3).

        `choose` may be called twice; what it returns must follow from the count.

        Raises:
            VideoError: the video is bad, which is told again at every later reading, or
                `choose` raised a `UserError` for its count.
        """
        with self.lock:
            path_lock = self.path_locks.setdefault(path, threading.Lock())
        with path_lock:
            if path in self.errors:
                raise self.errors[path]
            try:
                return self._read(path, choose)
            except VideoError as error:
                # What spoils one clip of a good video is not held against the others, or
                # the stream would depend on which of them was read first.
                if path not in self.counts:
                    self.errors[path] = error
                raise
            except UserError as error:
                raise VideoError(path, error) from None

    def _read(self, path, choose):
        found = None
        if path not in self.counts:
            found = self._visit_folder(path) if os.path.isdir(path) else None
            if not os.path.isdir(path):
                found = self._visit_file(path, choose)
        numbers = choose(self.counts[path])
        if path in self.moments:
            numbers = self.moments[path][numbers]
        frames = self.videos.get(path)
        if frames is not None:
            stacked = np.stack([frames[number] for number in numbers.ravel()])
            return stacked.reshape(*numbers.shape, *stacked.shape[1:])
        needed, place = np.unique(numbers.ravel(), return_inverse=True)
        if found is not None and all(number in found for number in needed):
            read = np.stack([found[number] for number in needed])
        else:
            read = read_frames(
                path,
                needed,
                size=self.size,
                timeout=self.timeout,
                index=self.indices.get(path),
            )
        if len(needed) == numbers.size and (place[1:] > place[:-1]).all():
            return read.reshape(*numbers.shape, *read.shape[1:])
        return read[place.reshape(numbers.shape)]

    def _visit_file(self, path, choose):
        """Decodes a file once; returns what was seen of the frames that will be wanted."""
        convert, indexer, found = FrameConverter(self.size, path), FrameIndexer(), {}
        with open_container(path, self.timeout) as container:
            stream = video_stream(container, path)
            claimed = self._claimed_frames(container, stream)
            with _Cache(self) as cache:
                likely = frozenset()
                for frame in decoded_frames(container, stream, path, self.timeout):
                    check_running()
                    number = len(indexer.stamps)
                    if number == 0:
                        cache.expect(claimed * convert.picture_bytes(frame))
                        if not cache.open:
                            self.indices[path] = _even_index(claimed, stream)
                            likely = self._likely_frames(claimed, choose)
                    # A video that is kept need not be found again by seeking.
                    indexer.add(frame, checked=not cache.open)
                    if cache.open or number in likely:
                        picture = convert(frame)
                        cache.add(picture)
                        if number in likely:
                            found[number] = picture
                # What is wrong with the whole of it gives the cache's memory back, too.
                index = indexer.index()
                count = len(index.stamps)
                if self.rate is not None:
                    self.moments[path] = frames_shown(index, self.rate, path)
                    count = len(self.moments[path])
                self.indices[path], self.counts[path] = index, count
                cache.keep(path)
        return found

    def _claimed_frames(self, container, stream):
        """Number of frames by the header, or 0; good for guesses only."""
        if stream.frames:
            return stream.frames
        if container.duration and stream.average_rate:
            return round(container.duration / 1e6 * float(stream.average_rate))
        return 0

    def _likely_frames(self, count, choose):
        """Frame numbers that `choose` will want if the header's count is right."""
        if self.rate is not None:
            return frozenset()
        try:
            return frozenset(np.ravel(choose(count)).tolist()) if count else frozenset()
        except UserError:
            return frozenset()

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
                    cache.close()  # Told by the clips that meet the broken frame.
            cache.keep(path)


def _even_index(count, stream):
    """A guess at the `FrameIndex` of a file by its header, until the file was decoded."""
    indexer = FrameIndexer()
    indexer.stamps = list(range(count))
    indexer.tick = 1 / stream.average_rate if stream.average_rate else None
    indexer.checked = False
    return indexer.index()


class _Cache:
    """Frames of one video on their way into the store, within its limit of memory."""

    def __init__(self, store):
        self.store, self.frames, self.held = store, [], 0
        self.open = store.used < store.cache_bytes

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            self.close()

    def expect(self, size):
        """Gives up at once where so many bytes will not fit."""
        if self.store.used + size > self.store.cache_bytes:
            self.close()

    def add(self, frame):
        if not self.open:
            return
        with self.store.lock:
            fits = self.store.used + frame.nbytes <= self.store.cache_bytes
            if fits:
                self.store.used += frame.nbytes
                self.held += frame.nbytes
        if fits:
            self.frames.append(frame)
        else:
            self.close()

    def close(self):
        """Gives up: the video is too long for what is left."""
        with self.store.lock:
            self.store.used -= self.held
        self.open, self.frames, self.held = False, [], 0

    def keep(self, path):
        """Puts the whole video into the store, unless it was given up."""
        if self.open:
            self.store.videos[path] = self.frames
