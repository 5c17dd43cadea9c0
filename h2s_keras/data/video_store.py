import threading

import numpy as np

from h2s_keras.data.video import iterate_frames, read_frames
from h2s_keras.errors import UserError, VideoError


class VideoStore:
    """Decodes each video once while memory lasts; later reads of others decode again."""

    def __init__(self, size, cache_bytes, timeout):
        self.size = size
        self.cache_bytes = int(cache_bytes)
        self.timeout = timeout
        self.used = 0
        self.videos = {}
        self.counts = {}
        self.errors = {}
        self.lock = threading.Lock()
        self.path_locks = {}

    def read(self, path, choose):
        """Frames at `choose(frame_count)`, int (...,), as uint8 (..., height, width, 3)."""
        with self.lock:
            path_lock = self.path_locks.setdefault(path, threading.Lock())
        with path_lock:
            if path in self.errors:
                raise self.errors[path]
            try:
                if path not in self.counts:
                    self._scan(path)
                indices = choose(self.counts[path])
                frames = self.videos.get(path)
                if frames is None:
                    needed, place = np.unique(indices, return_inverse=True)
                    read = read_frames(path, needed, size=self.size, timeout=self.timeout)
                    return read[place.reshape(indices.shape)]
            except VideoError as error:
                self.errors[path] = error
                raise
            except UserError as error:
                self.errors[path] = VideoError(path, error)
                raise self.errors[path] from None
        stacked = np.stack([frames[index] for index in indices.ravel()])
        return stacked.reshape(*indices.shape, *stacked.shape[1:])

    def _scan(self, path):
        """Counts the frames, and keeps them as long as the limit allows."""
        frames, count, held = [], 0, 0
        keep = True
        try:
            for frame in iterate_frames(path, size=self.size, timeout=self.timeout):
                count += 1
                if not keep:
                    continue
                with self.lock:
                    keep = self.used + frame.nbytes <= self.cache_bytes
                    if keep:
                        self.used += frame.nbytes
                    else:
                        self.used -= held
                if keep:
                    held += frame.nbytes
                    frames.append(frame)
                else:
                    frames, held = [], 0
        except VideoError:
            with self.lock:
                self.used -= held
            raise
        self.counts[path] = count
        if keep:
            self.videos[path] = frames
