import numpy as np

from h2s_keras.data.clips.color_jitter import checked_jitter, draw_jitter, jitter_colors
from h2s_keras.data.clips.crops import crop_frames, random_crop_box
from h2s_keras.data.clips.rand_augment import ClipRandAugment
from h2s_keras.errors import UserError


class ClipAugmentation:
    """What happens to a training clip, with one draw for all of its frames.

    In this order: one of the published crops (`random_crop_box`), resized; mirrored half of
    the time; colours jittered; RandAugment.

    Args:
        image_size: `(height, width)` of the clips.
        flip: whether to mirror half of the clips at all.
        no_flip_classes: labels of classes that are never mirrored.
        flip_map: dict of label to label for classes that a mirror turns into each other; a
            mirrored clip gets the label of its mirror image. Each pair need be named once.
        color_jitter: dict of "brightness", "contrast", "saturation" and "hue", see
            `draw_jitter`; None for none.
        rand_augment: dict of the arguments of `ClipRandAugment`; None for none.

    Raises:
        UserError: the maps contradict each other or themselves, a range makes no sense, or
            KerasCV is missing.

    Example:

    ```python
    augment = ClipAugmentation((224, 224), flip_map={3: 4}, color_jitter={"hue": 0.1})
    clip, label = augment(frames, 3, np.random.default_rng(0))
    ```
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
        self.color_jitter = checked_jitter(color_jitter) if color_jitter else None
        self.rand_augment = None
        if rand_augment:
            try:
                self.rand_augment = ClipRandAugment(**rand_augment)
            except TypeError:
                raise UserError(
                    "rand_augment takes operations and magnitude; received "
                    f"{', '.join(rand_augment)}"
                ) from None

    def __call__(self, frames, label, generator):
        """Augments uint8 (time, height, width, 3) frames of one video.

        Returns:
            `(clip, label)`: uint8 (time, *image_size, 3) and the label of what it shows.
        """
        box = random_crop_box(frames.shape[1:3], self.image_size, generator)
        mirrored = self.draws_mirrored(label, generator)
        clip = crop_frames(frames, box, self.image_size, mirrored)
        if mirrored:
            label = self.flip_map.get(int(label), label)
        if self.color_jitter:
            clip = jitter_colors(clip, **draw_jitter(self.color_jitter, generator))
        if self.rand_augment:
            clip = self.rand_augment(clip, int(generator.integers(1 << 31)))
        return clip, np.int32(label)

    def draws_mirrored(self, label, generator):
        """Whether a clip of this class is mirrored: half of the time, where it may be."""
        mirrored = self.flip and generator.random() < 0.5
        return mirrored and int(label) not in self.no_flip_classes


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
