"""What happens to a training clip, with one draw for all of its frames."""

import functools

import numpy as np

from h2s_keras.data.clips.crops import crop_frames, random_crop_box
from h2s_keras.data.clips.sampling import StatelessDraws, array_module, given
from h2s_keras.errors import UserError

JITTERS = ("brightness", "contrast", "saturation", "hue")
LIBRARIES = ("keras", "keras_cv")
_VALUES = (0, 255)


class ClipAugmentation:
    """What happens to a training clip, with one draw for all of its frames.

    In this order: one of the published crops (`random_crop_box`), resized; mirrored half of
    the time; colours jittered; RandAugment. Colours are changed by Keras' image layers.

    Args:
        image_size: `(height, width)` of the clips.
        flip: whether to mirror half of the clips at all.
        no_flip_classes: labels of classes that are never mirrored.
        flip_map: dict of label to label for classes that a mirror turns into each other; a
            mirrored clip gets the label of its mirror image. Each pair need be named once.
        color_jitter: dict of "brightness" (added, up to this part of white),
            "contrast" and "saturation" (factors from 1 - x to 1 + x) and "hue" (turns of
            the colour circle, at most 0.5); None for none.
        rand_augment: dict of "operations" (how many are applied one after the other, 2),
            "magnitude" (0 to 1, 0.3) and "library" ("keras", or "keras_cv" for the
            operations of KerasCV, extra `cv`); None for none. Operations that move pixels
            are left out, since they would change the motion.

    Raises:
        UserError: the maps contradict each other or themselves, a range makes no sense, or
            KerasCV is asked for and missing.

    Example:

    ```python
    augment = ClipAugmentation((224, 224), flip_map={3: 4}, color_jitter={"hue": 0.1})
    clip, label = augment(frames, 3, np.random.default_rng(0))
    ```

    Reference: Cubuk et al. 2019 (RandAugment).
    """

    def __init__(
        self,
        image_size,
        flip=True,
        no_flip_classes=(),
        flip_map=None,
        color_jitter=None,
        rand_augment=None,
    ):
        self.image_size, self.flip = image_size, flip
        self.no_flip_classes = frozenset(no_flip_classes)
        self.flip_map = _both_ways(flip_map or {})
        both = self.no_flip_classes & set(self.flip_map)
        if both:
            raise UserError(
                f"class {min(both)} is in flip_map and in no_flip_classes; leave it in one"
            )
        jitter = checked_jitter(color_jitter) if color_jitter else {}
        self._jitter = _jitter_layers(jitter)
        self._operations, self._applied = (), 0
        if rand_augment:
            self._applied, self._operations = _rand_augment(**_checked(rand_augment))

    @property
    def changes_colors(self):
        """Whether `colors` does anything."""
        return bool(self._jitter or self._applied)

    def __call__(self, frames, label, generator):
        """Augments uint8 (time, height, width, 3) frames of one video.

        Returns:
            `(clip, label)`: uint8 (time, *image_size, 3) and the label of what it shows.
        """
        clip, label = self.crop_and_flip(frames, label, generator)
        if self.changes_colors:
            import tensorflow as tf

            draw = StatelessDraws(tf, int(generator.integers(1 << 31)), 0)
            clip = self.colors(tf.constant(clip), draw).numpy()
        return clip, label

    def crop_and_flip(self, frames, label, generator):
        """The part of `__call__` that does not change colours."""
        box = random_crop_box(frames.shape[1:3], self.image_size, generator)
        mirrored, label = self.mirror(label, generator)
        return crop_frames(frames, box, self.image_size, mirrored), np.int32(label)

    def mirror(self, label, generator):
        """Draws whether a clip of a class is mirrored: half of the time, where it may be.

        Args:
            label: int, or int32 tensor.
            generator: `np.random.Generator`, or `StatelessDraws` for tensors.

        Returns:
            (mirrored, label of what the clip shows then), like `label`.
        """
        if not self.flip:
            return False, label
        arrays = array_module(label)
        mirrored = generator.random() < 0.5
        for kept in self.no_flip_classes:
            mirrored = mirrored & (label != kept)
        shown = label
        for one, image in self.flip_map.items():
            shown = arrays.where(mirrored & (label == one), image, shown)
        return mirrored, arrays.asarray(shown, np.int32)

    def colors(self, clip, draw):
        """Changes the colours of all frames of a clip alike, in a graph or outside.

        Args:
            clip: uint8 tensor (time, height, width, 3).
            draw: `StatelessDraws`.

        Returns:
            uint8 tensor like `clip`.
        """
        import tensorflow as tf

        # The frames under each other are one image, so all are mapped alike.
        tall = tf.reshape(tf.cast(clip, tf.float32), (1, -1, *clip.shape[2:]))
        for layer in self._jitter:
            tall = _applied(layer, tall, draw)
        for _ in range(self._applied):
            branches = [functools.partial(one, tall, draw) for one in self._operations]
            tall = tf.switch_case(tf.cast(draw.integers(len(branches)), tf.int32), branches)
        return tf.reshape(tf.saturate_cast(tf.round(tall), tf.uint8), clip.shape)


def _both_ways(pairs):
    whole = {}
    for one, other in pairs.items():
        for label, image in ((one, other), (other, one)):
            if whole.setdefault(label, image) != image:
                raise UserError(
                    f"flip_map turns class {label} into both {whole[label]} and {image}; "
                    "a mirror image has one class"
                )
    return whole


# === Colours ===


def checked_jitter(ranges):
    """The ranges as a dict of all four, 0 where none is given.

    Raises:
        UserError: an unknown name, or a range below 0 or above the most that makes sense.
    """
    ranges = dict(ranges or {})
    unknown = sorted(set(ranges) - set(JITTERS))
    if unknown:
        raise UserError(
            f"color_jitter knows {', '.join(JITTERS)}; received {', '.join(unknown)}"
        )
    ranges = {name: float(ranges.get(name, 0.0)) for name in JITTERS}
    for name, value in ranges.items():
        most = 0.5 if name == "hue" else 1.0
        if not 0 <= value <= most:
            raise UserError(
                f"color_jitter {name} must be from 0 to {most:g}; received {value}"
            )
    return ranges


def _jitter_layers(ranges):
    """Keras' layers for the ranges of `checked_jitter`, in the order of JITTERS."""
    if not any(ranges.values()):
        return ()
    import keras

    # Keras multiplies the saturation by share / (1 - share).
    shares = tuple((1 + x) / (2 + x) for x in (-ranges["saturation"], ranges["saturation"]))
    layers = {
        "brightness": keras.layers.RandomBrightness(ranges["brightness"], _VALUES),
        # A single number would only raise it.
        "contrast": keras.layers.RandomContrast((ranges["contrast"],) * 2, _VALUES),
        "saturation": keras.layers.RandomSaturation(shares, _VALUES),
        # Half of the factor is the most that the hue is turned, either way.
        "hue": keras.layers.RandomHue(2 * ranges["hue"], _VALUES),
    }
    return tuple(_in_graphs(layer) for name, layer in layers.items() if ranges[name])


def _in_graphs(layer):
    """A layer of Keras for tf.data, whatever the backend is."""
    layer.backend.set_backend("tensorflow")
    return layer


def _applied(layer, images, draw):
    """Images through a layer of Keras, whose draw is ours."""
    drawn = layer.get_random_transformation(images, training=True, seed=_seeds(draw))
    return layer.transform_images(images, drawn)


def _seeds(draw):
    """`draw` as Keras' layers want their seeds: without a state of its own."""
    import keras
    import tensorflow as tf

    class Seeds(keras.random.SeedGenerator):
        def __init__(self):
            """Makes no variable, which a graph of tf.data could not share."""

        def next(self, ordered=True):
            return tf.cast(draw.seed(), tf.int32)

    return Seeds()


# === RandAugment ===


def _checked(settings):
    settings = {"operations": 2, "magnitude": 0.3, "library": "keras", **settings}
    if len(settings) > 3:
        raise UserError(
            "rand_augment takes operations, magnitude and library; received "
            f"{', '.join(settings)}"
        )
    operations, magnitude, library = settings.values()
    if operations < 1 or not 0 <= magnitude <= 1:
        raise UserError(
            "rand_augment takes operations from 1 and a magnitude from 0 to 1; "
            f"received {operations} and {magnitude}"
        )
    if library not in LIBRARIES:
        raise UserError(
            f"the library of rand_augment must be one of {LIBRARIES}; received {library!r}"
        )
    return settings


def _rand_augment(operations, magnitude, library):
    """(how many are applied, functions of (images, draw) to choose from)."""
    make = _keras_operations if library == "keras" else _keras_cv_operations
    return operations, make(magnitude)


def _keras_operations(magnitude):
    import keras

    layers = keras.layers
    chosen = [
        layers.AutoContrast(value_range=_VALUES),
        layers.Equalization(value_range=_VALUES),
        layers.Solarization(magnitude, magnitude, _VALUES),
        layers.RandomColorDegeneration(magnitude, value_range=_VALUES),
        layers.RandomContrast((magnitude, magnitude), _VALUES),
        layers.RandomBrightness(magnitude, _VALUES),
        layers.RandomPosterization(max(1, round(8 * (1 - magnitude))), _VALUES),
    ]
    return [functools.partial(_applied, layer) for layer in map(_in_graphs, chosen)]


def _keras_cv_operations(magnitude):
    """KerasCV draws from a state of its own; here the draws are handed to its layers."""
    try:
        from keras_cv import layers
    except ImportError:
        raise UserError(
            "rand_augment with the library keras_cv needs KerasCV: pip install "
            "'h2s_keras[cv]', or leave the library out"
        ) from None

    def drawn(draw, low, high):
        return draw.uniform(low, high, (1, 1, 1, 1))

    factor = max(magnitude, 1e-3)
    added, threshold = 110.0 * magnitude, 255.0 * (1 - magnitude)
    chosen = [
        (layers.AutoContrast(_VALUES), lambda draw: None),
        (
            layers.Solarization(_VALUES, added, threshold),
            lambda draw: {
                "additions": drawn(draw, 0.0, added),
                "thresholds": drawn(draw, threshold, 255.0),
            },
        ),
        (
            layers.RandomColorDegeneration(magnitude),
            lambda draw: drawn(draw, 0.0, magnitude),
        ),
        (
            layers.RandomContrast(_VALUES, factor),
            lambda draw: drawn(draw, 1.0 - factor, 1.0 + factor),
        ),
        (
            layers.RandomBrightness(magnitude, _VALUES),
            lambda draw: 255.0 * drawn(draw, -magnitude, magnitude),
        ),
    ]

    def apply(layer, drawn, images, draw):
        return layer.augment_images(images, drawn(draw))

    import keras

    # KerasCV's own branches on a tensor, which the pipeline's graphs do not take.
    equalization = _in_graphs(keras.layers.Equalization(value_range=_VALUES))
    return [
        functools.partial(_applied, equalization),
        *(functools.partial(apply, *pair) for pair in chosen),
    ]


# === Flow and class names ===


def flip_flow(flow):
    """Optical flow of a mirrored clip: the field mirrored and its x negated.

    Args:
        flow: array (..., height, width, 2) = (x, y), in pixels.

    Returns:
        array like `flow`.

    Example:

    ```python
    flip_flow(np.array([[[3.0, 1.0], [0.0, 0.0]]]))     # [[[-0, 0], [-3, 1]]]
    ```
    """
    flow = np.asarray(flow)
    return flow[..., ::-1, :] * np.array([-1, 1], flow.dtype)


def class_numbers(names, class_names, what):
    """Labels of classes that a recipe gives by name or by number, one or several.

    Raises:
        UserError: there is no such class.
    """
    numbers = []
    for name in [names] if isinstance(names, (str, int)) else names:
        # The keys of a dict that went through JSON are text.
        if isinstance(name, str) and name.isdecimal() and name not in class_names:
            name = int(name)
        if isinstance(name, int) and 0 <= name < len(class_names):
            numbers.append(name)
        elif name in class_names:
            numbers.append(class_names.index(name))
        else:
            raise UserError(
                f"{what}: no class {name!r}; there are {', '.join(class_names[:20])}"
            )
    return numbers


def class_augmentation(settings, class_names):
    """The `ClipAugmentation` of a recipe's data, whose classes go by names or numbers.

    Args:
        settings: dict with "image_size" and optionally the arguments of `ClipAugmentation`.
        class_names: names of all classes.

    Raises:
        UserError: there is no such class, or as `ClipAugmentation`.
    """
    flip_map, kept = settings.get("flip_map") or {}, settings.get("no_flip_classes")
    if not isinstance(flip_map, dict):
        raise UserError(
            "data.flip_map takes a dict such as {'wave_left': 'wave_right'}; received "
            f"{flip_map!r}"
        )
    ones, images = (
        class_numbers(names, class_names, "flip_map")
        for names in (flip_map, flip_map.values())
    )
    kept = class_numbers(() if kept is None else kept, class_names, "no_flip_classes")
    return ClipAugmentation(
        tuple(settings["image_size"]),
        no_flip_classes=kept,
        flip_map=dict(zip(ones, images, strict=True)),
        **given(settings, ("flip", "color_jitter", "rand_augment")),
    )
