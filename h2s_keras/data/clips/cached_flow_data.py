import numpy as np

from h2s_keras.data.clips.augmentation import ClipAugmentation
from h2s_keras.data.clips.cached_flow import FlowCache, FlowClips
from h2s_keras.data.clips.sampling import epoch_order
from h2s_keras.data.datasets.segments import segment_frames


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
            lambda example, count: segment_frames(example, count, data.store.rate),
            data.store,
            data.options["stride"],
            data.options["num_frames"] - 1,
            key,
            most_pairs,
        )
        self.cache.fill(estimate, progress)
        for error in self.cache.bad.values():
            data.report.add(error)
            if data.options["on_bad_file"] == "raise":
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
        balanced = self.data.training_options["balanced"]

        def order(epoch):
            generator = np.random.default_rng([seed, 0, epoch])
            own = epoch_order(self.labels[self.places], generator, balanced)
            return self.places[own]

        stride = self.cache.stride
        speeds = sorted({max(1, stride - 1), stride, stride + 1})
        data = self.data
        augment = ClipAugmentation(data.options["image_size"], **data.augmentation)
        return FlowClips(
            self.cache,
            order,
            self.labels,
            speeds,
            augment,
            seed,
        )
