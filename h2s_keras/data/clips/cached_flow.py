"""Flow of whole videos, computed once, for a temporal CNN that trains on it many times.

While MotionNet is frozen its flow of a video does not change. It is computed for whole
frames once and kept in one file, from which clips of flow are cut, cropped and mirrored,
so that the temporal CNN trains at its own speed.
"""

import json
import math
import os

import numpy as np

from h2s_keras.data.clips.augmentation import flip_flow
from h2s_keras.data.clips.sampling import epoch_order, even_clip_starts
from h2s_keras.errors import UserError, VideoError
from h2s_keras.files import remove_unfinished, whole_file, write_file

# Of a crop, of the whole frame; height and width are drawn apart.
_SMALLEST_CROP = 0.8
# How much faster or slower than the video a training clip may be shown.
LARGEST_TEMPO = 1.35
PAIRS_AT_ONCE = 32  # most that are estimated in one call


def pair_count(path, frames, stride):
    """Number of pairs of frames `stride` apart; a `VideoError` where there is none."""
    if frames <= stride:
        raise VideoError(
            path,
            f"has too few frames for motion ({frames}; a pair spans {stride + 1}); give a "
            "longer video",
        )
    return frames - stride


class FlowCache:
    """Flow between frames t and t + `stride` of videos, at every t of some windows.

    A video of at most `most_pairs` pairs is kept whole, of a longer one evenly spaced
    windows, each of the longest training clip, that together have about as many.

    Args:
        folder: where the flow is kept: `flow.npy` and `flow.json`. What lies there from an
            earlier run of the same `key` is used again.
        examples: `VideoExample`s.
        source: `FrameSource` of frames of the size that `estimate` takes.
        stride: frames from the first to the second frame of a pair.
        pairs: pairs of a clip.
        key: what the flow depends on, such as a checksum of the weights, as text.
        most_pairs: pairs kept of a video.

    Attributes:
        windows: dict of place in `examples` to an int array (windows, 3) of the first pair
            of a window in the video, its number of pairs, and its row in the file.
        bad: dict of place in `examples` to the `VideoError` of a video without flow.
    """

    def __init__(self, folder, examples, source, stride, pairs, key, most_pairs=600):
        self.folder, self.examples, self.source = folder, tuple(examples), source
        self.stride, self.pairs, self.most_pairs = stride, pairs, most_pairs
        self.key = {
            "key": key,
            "stride": stride,
            "pairs": pairs,
            "most_pairs": most_pairs,
            "videos": [example.path for example in self.examples],
        }
        self.windows, self.bad, self._flow = {}, {}, None

    def fill(self, estimate, progress=None):
        """Computes what is not there yet.

        Args:
            estimate: function from uint8 (pairs, 2, height, width, 3), at most
                `PAIRS_AT_ONCE` of them, to flow (pairs, h, w, 2), pixels of its own grid.
            progress: function of the number of videos that are done, or None.
        """
        if self._read():
            return
        os.makedirs(self.folder, exist_ok=True)
        remove_unfinished(self.folder)
        rows, windows = 0, {}
        with whole_file(self._path("flow.raw")) as raw, open(raw, "wb") as file:
            for place, example in enumerate(self.examples):
                try:
                    found = self._windows(example)
                    parts = [
                        self._estimated(example, *window, estimate) for window in found
                    ]
                except VideoError as error:
                    self.bad[place] = error
                    continue
                windows[place] = []
                for (first, count), flow in zip(found, parts, strict=True):
                    flow.astype("float16").tofile(file)
                    windows[place].append((first, count, rows))
                    rows, shape = rows + count, flow.shape[1:]
                if progress is not None:
                    progress(place + 1)
        if not windows:
            return
        about = {
            **self.key,
            "shape": [rows, *shape],
            "windows": windows,
            "bad": {place: str(error) for place, error in self.bad.items()},
        }
        write_file(self._path("flow.json"), json.dumps(about).encode())
        self._open(about)

    def remove(self):
        """Deletes the file, which the training that read it no longer needs."""
        self._flow = None
        for name in ("flow.raw", "flow.json"):
            if os.path.exists(self._path(name)):
                os.remove(self._path(name))

    def clip(self, place, numbers):
        """Flow float32 (pairs, h, w, 2) at rising pair `numbers` of one window of a video.

        Beyond the end of the video nothing moves, as where the last frame is repeated.
        """
        first, count, row = self._window_of(place, int(numbers[0]))
        inside = np.asarray(numbers) - first
        flow = self._flow[row + np.minimum(inside, count - 1)].astype("float32")
        flow[inside >= count] = 0.0
        return flow

    def random_start(self, place, span, generator):
        """First pair of a clip over `span` pairs, uniform over where it fits."""
        windows = self.windows[place]
        places = np.maximum(1, windows[:, 1] - span + 1)
        drawn = int(generator.integers(places.sum()))
        for (first, _, _), count in zip(windows, places, strict=True):
            if drawn < count:
                return int(first) + drawn
            drawn -= count
        raise AssertionError("unreachable: a draw below the sum of all places")

    def even_starts(self, place, count):
        """First pairs of evenly spaced clips of a video, as testing takes them."""
        windows = self.windows[place]
        if len(windows) > 1:
            chosen = np.linspace(0, len(windows) - 1, count).round().astype(int)
            return windows[chosen, 0]
        first, length, _ = windows[0]
        frames = length + self.stride
        return first + even_clip_starts(frames, self.pairs + 1, self.stride, count)

    def _window_of(self, place, pair):
        windows = self.windows[place]
        return windows[np.searchsorted(windows[:, 0], pair, side="right") - 1]

    def _windows(self, example):
        """[(first pair, number of pairs)] of the windows to compute."""
        part = self.source.frames_of(example)
        first, length = part.start, len(part)
        whole = pair_count(example.path, length, self.stride)
        if whole <= self.most_pairs:
            return [(first, whole)]
        span = math.ceil((self.pairs - 1) * self.stride * LARGEST_TEMPO) + 1
        count = max(2, self.most_pairs // span)
        starts = np.linspace(0, whole - span, count).round().astype(int)
        return [(first + int(start), span) for start in starts]

    def _estimated(self, example, first, count, estimate):
        flows = []
        for start in range(first, first + count, PAIRS_AT_ONCE):
            pairs = np.arange(start, min(start + PAIRS_AT_ONCE, first + count))
            numbers = np.stack([pairs, pairs + self.stride], axis=1)
            frames = self.source.read(example.path, lambda _, numbers=numbers: numbers)
            flows.append(np.asarray(estimate(frames), "float32"))
        return np.concatenate(flows)

    def _read(self):
        try:
            with open(self._path("flow.json"), encoding="utf-8") as file:
                about = json.load(file)
        except (OSError, ValueError):
            return False
        if any(about.get(name) != value for name, value in self.key.items()):
            return False
        size = os.path.getsize(self._path("flow.raw"))
        if size != 2 * int(np.prod(about["shape"])):
            return False
        self.bad = {
            int(place): VideoError(self.examples[int(place)].path, text)
            for place, text in about["bad"].items()
        }
        self._open(about)
        return True

    def _open(self, about):
        self.windows = {
            int(place): np.array(rows) for place, rows in about["windows"].items()
        }
        self._flow = np.memmap(
            self._path("flow.raw"), np.float16, "r", shape=tuple(about["shape"])
        )

    def _path(self, name):
        return os.path.join(self.folder, name)


class FlowClips:
    """Clips of cached flow, endless and augmented for training or evenly spaced for tests.

    Example `i` of the training is a function of (seed, i) alone, as in `VideoClips`.

    Args:
        cache: a filled `FlowCache`.
        order: function from an epoch's number to the places in the cache's examples that it
            shows, in order; all epochs are of one length.
        labels: int (examples,).
        tempo: a training clip is shown up to this factor, at most `LARGEST_TEMPO`, faster
            or slower: its pairs are not `cache.stride` apart, as those of a test clip, but
            so much more or less. The flow stays that between frames `cache.stride` apart.
        augment: `ClipAugmentation`, which says what may be mirrored; None: nothing is.
        seed: seed of the draws.
    """

    def __init__(
        self,
        cache,
        order,
        labels,
        tempo=1.0,
        augment=None,
        seed=0,
    ):
        self.cache, self.order, self.labels = cache, order, np.asarray(labels, np.int32)
        self.tempo, self.augment, self.seed = tempo, augment, seed
        self.length = len(order(0))
        if not self.length:
            raise UserError("none of the training videos gives flow; see the errors above")

    def clip(self, number):
        """Training example `number`: (flow float32 (pairs, h, w, 2), int32 label)."""
        epoch, index = divmod(int(number), self.length)
        place = int(self.order(epoch)[index])
        generator = np.random.default_rng([self.seed, 2, int(number)])
        cache = self.cache
        steps = self._steps(generator)
        start = cache.random_start(place, int(steps[-1]) + 1, generator)
        flow = cache.clip(place, start + steps)
        flow = zoom_flow(flow, *_random_crop(flow.shape[1:3], generator))
        label, mirrored = int(self.labels[place]), False
        if self.augment is not None:
            mirrored, label = self.augment.mirror(label, generator)
        if mirrored:
            flow = flip_flow(flow)
        return np.ascontiguousarray(flow, "float32"), np.int32(label)

    def _steps(self, generator):
        """Places of the pairs of a training clip after its first; slow ones come twice."""
        widest = np.log(self.tempo)
        speed = self.cache.stride * np.exp(generator.uniform(-widest, widest))
        return np.floor(speed * np.arange(self.cache.pairs) + 0.5).astype(int)

    def name(self, number):
        """What training example `number` shows, for error reports."""
        epoch, index = divmod(int(number), self.length)
        return self.cache.examples[int(self.order(epoch)[index])].path

    def dataset(self, batch_size, start_step=0):
        """Endless tf.data.Dataset of (flow, labels) that continues exactly at a step."""
        import tensorflow as tf

        flow, _ = self.clip(0)
        first = start_step * batch_size
        numbers = tf.data.Dataset.range(first, tf.int64.max)

        def load(number):
            clip, label = tf.numpy_function(self.clip, [number], (tf.float32, tf.int32))
            clip.set_shape(flow.shape)
            label.set_shape(())
            return clip, label

        dataset = numbers.map(load, num_parallel_calls=2, deterministic=True)
        return dataset.batch(batch_size, drop_remainder=True).prefetch(2)

    def evaluation(self, places, clips_per_video, batch_size=32):
        """Yields batches of evenly spaced clips: dicts "flow", "label" and "video"."""
        cache, rows = self.cache, []
        step = cache.stride * np.arange(cache.pairs)
        for place in places:
            for start in cache.even_starts(place, clips_per_video):
                rows.append((place, start + step))
        for first in range(0, len(rows), batch_size):
            part = rows[first : first + batch_size]
            yield {
                "flow": np.stack([cache.clip(place, pairs) for place, pairs in part]),
                "label": self.labels[[place for place, _ in part]],
                "video": np.array([place for place, _ in part]),
            }


def zoom_flow(flow, top, left, height, width):
    """A part of flow fields, enlarged to their whole size: flow of an enlarged video.

    Args:
        flow: float (pairs, h, w, 2), pixels of its own grid.
        top, left, height, width: of the part, in whole pixels of the grid.

    Returns:
        float32 (pairs, h, w, 2): the nearest values, x and y times the enlargement.

    Example:

    ```python
    zoom_flow(np.ones((1, 4, 4, 2)), 0, 0, 2, 4)[0, 0, 0]     # [1., 2.]
    ```
    """
    rows, columns = flow.shape[1:3]
    down = top + ((np.arange(rows) + 0.5) * height / rows).astype(int)
    across = left + ((np.arange(columns) + 0.5) * width / columns).astype(int)
    factor = np.array([columns / width, rows / height], "float32")
    # Twice as fast as indexing by arrays.
    part = np.take(np.take(flow, down, axis=1), across, axis=2)
    return np.multiply(part, factor, dtype="float32")


def _random_crop(size, generator):
    height, width = (
        max(1, round(side * generator.uniform(_SMALLEST_CROP, 1.0))) for side in size
    )
    top = int(generator.integers(size[0] - height + 1))
    left = int(generator.integers(size[1] - width + 1))
    return top, left, height, width


class CachedFlowData:
    """Flow of the videos of a `VideoData`, as a stage of the temporal CNN trains on it.

    It has the interface of `training_data`, without a test.

    Args:
        data: `VideoData`; its training and validation videos are read.
        folder, key: of the `FlowCache`.
        estimate, progress: of `FlowCache.fill`.
        most_pairs: pairs of a video that are kept.
    """

    def __init__(self, data, folder, key, estimate, progress=None, most_pairs=600):
        self.data, self.class_names = data, data.class_names
        self.examples = (*data.train, *data.validation)
        self.labels = np.array([example.label for example in self.examples], np.int32)
        self.cache = FlowCache(
            folder,
            self.examples,
            data.source,
            data.sampling.stride,
            data.sampling.num_frames - 1,
            key,
            most_pairs,
        )
        self.cache.fill(estimate, progress)
        for error in self.cache.bad.values():
            data.report.add(error)
            if data.on_bad_file == "raise":
                raise error
        there = [place for place in self.cache.windows if place < len(data.train)]
        self.places = np.array(sorted(there), int)
        self.explain, self.validates = data.explain, data.validates

    def training(self, batch_size, start_step=0, seed=0):
        return self._clips(seed).dataset(batch_size, start_step)

    def training_names(self, batch_size, step, seed=0):
        clips, first = self._clips(seed), step * batch_size
        return [clips.name(number) for number in range(first, first + batch_size)]

    def validation_batches(self, batch_size):
        """Batches of the validation videos, as `FlowClips.evaluation`."""
        places = range(len(self.data.train), len(self.examples))
        return self._clips(0).evaluation(
            [place for place in places if place in self.cache.windows],
            self.data.clips_per_video,
            batch_size,
        )

    def close(self):
        """Deletes the cache."""
        self.cache.remove()

    def _clips(self, seed):
        balanced = self.data.balanced

        def order(epoch):
            generator = np.random.default_rng([seed, 0, epoch])
            own = epoch_order(self.labels[self.places], generator, balanced)
            return self.places[own]

        augment = self.data.augment
        return FlowClips(self.cache, order, self.labels, LARGEST_TEMPO, augment, seed)
