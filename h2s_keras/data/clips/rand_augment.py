import threading

import numpy as np

from h2s_keras.errors import UserError


class ClipRandAugment:
    """KerasCV's RandAugment with one draw for all frames of a clip.

    KerasCV draws for each image, so the frames of a clip are laid under each other as one
    tall image. Its geometric operations would tear that apart and are left out: automatic
    contrast, equalisation, solarisation, colour, contrast and brightness remain.

    Args:
        operations: how many are applied, one after the other.
        magnitude: strength, 0 to 1.

    Raises:
        UserError: KerasCV is not installed, or a number makes no sense.

    Example:

    ```python
    augment = ClipRandAugment(operations=2, magnitude=0.3)
    clip = augment(clip, seed=7)
    ```

    Source: Cubuk et al. 2019; the layer of KerasCV 0.9 (extra `cv`).
    """

    def __init__(self, operations=2, magnitude=0.3):
        try:
            import keras_cv
        except ImportError:
            raise UserError(
                "rand_augment needs KerasCV: pip install 'h2s_keras[cv]', or leave it out"
            ) from None
        if operations < 1 or not 0 <= magnitude <= 1:
            raise UserError(
                "rand_augment takes operations from 1 and a magnitude from 0 to 1; "
                f"received {operations} and {magnitude}"
            )
        import tensorflow as tf

        self._layer = keras_cv.layers.RandAugment(
            (0, 255), operations, magnitude, geometric=False, seed=0
        )
        self._generators = _generators(self._layer, tf)
        self._apply = tf.function(self._augmented)
        # The layers draw from generators of their own, so that a draw takes two steps.
        self._lock = threading.Lock()

    def _augmented(self, tall):
        return self._layer(tall, training=True)

    def __call__(self, clip, seed):
        """Augments uint8 (time, height, width, 3); the draw follows from `seed` alone."""
        time, height, width, channels = clip.shape
        tall = clip.reshape(time * height, width, channels).astype(np.float32)
        with self._lock:
            for place, generator in enumerate(self._generators):
                generator.reset_from_seed((seed + 7919 * place) % (1 << 31))
            tall = self._apply(tall).numpy()
        return np.clip(np.round(tall), 0, 255).astype(np.uint8).reshape(clip.shape)


def _generators(layer, tf):
    """Every random generator of a layer and of the layers inside it, in a fixed order.

    The samplers of strength draw from TensorFlow's global state, which no seed of a call
    can set; each is replaced by one with a generator.
    """
    found, seen, waiting = [], set(), [layer]
    while waiting:
        part = waiting.pop(0)
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, tf.random.Generator):
            found.append(part)
        elif isinstance(part, (list, tuple)):
            waiting += part
        elif hasattr(part, "_random_generator"):
            for name, value in sorted(vars(part).items()):
                if hasattr(value, "get_config") and _RANGES & _names_of(value):
                    value = _Strength(value, tf)
                    setattr(part, name, value)
                    found.append(value.generator)
                waiting.append(value)
    return found


def _names_of(value):
    return set(getattr(value, "__dict__", ()))


# Attributes by which KerasCV's samplers are known: normal and uniform ones.
_RANGES = {"stddev", "lower"}


class _Strength:
    """A sampler of strengths as KerasCV's, with a random generator of its own."""

    def __init__(self, sampler, tf):
        self.sampler, self.tf = sampler, tf
        self.generator = tf.random.Generator.from_seed(0)

    def __call__(self, shape=(), dtype="float32"):
        sampler = self.sampler
        if hasattr(sampler, "stddev"):
            value = self.generator.normal(shape, sampler.mean, sampler.stddev, dtype)
            return self.tf.clip_by_value(value, sampler.min_value, sampler.max_value)
        return self.generator.uniform(shape, sampler.lower, sampler.upper, dtype)
