"""Bilinear resizing by a triangle filter, as two matrix products.

`tf.image.resize(antialias=True)` has no XLA kernel, and the resize of each backend
treats float16 and dynamic sizes differently. A separable triangle filter is two small
matrix products, which every backend compiles, differentiates and converts.
"""

from typing import Any

from keras import ops

from h2s_keras.tensor_types import Tensor


def triangle_filter(source: int, target: int, align_corners: bool = False) -> Tensor:
    """Weights (target, source) of a triangle filter between two grids.

    Sample centres are half pixels, or with `align_corners` the outermost samples of both
    grids coincide. When shrinking, the triangle widens with the scale, so that nothing
    aliases; weights that would fall outside the image are dropped and the rest
    renormalised, as in PIL and `tf.image.resize`.
    """
    length, count = ops.cast(source, "float32"), ops.cast(target, "float32")
    place = ops.arange(target, dtype="float32")
    if align_corners:
        scale = (length - 1.0) / ops.maximum(count - 1.0, 1.0)
        # A single sample has no two corners to align; it lies in the middle.
        centre = ops.where(count > 1.0, place * scale, 0.5 * (length - 1.0))
    else:
        scale = length / count
        centre = (place + 0.5) * scale - 0.5
    distance = ops.abs(ops.arange(source, dtype="float32")[None, :] - centre[:, None])
    weights = ops.maximum(0.0, 1.0 - distance / ops.maximum(scale, 1.0))
    return weights / ops.sum(weights, axis=1, keepdims=True)


def resize_bilinear(images: Tensor, size: Any, align_corners: bool = False) -> Tensor:
    """Resizes images, anti-aliased when shrinking.

    Args:
        images: (batch, height, width, channels), any dtype; static or dynamic sizes.
        size: (height, width) of the result; ints or scalar int tensors.
        align_corners: False: pixels are squares that the grids share (half-pixel centres).
            True: the corner pixels of both grids have the same centres, as in the
            Downsample layer of FlowNet's Caffe, which the released losses use.

    Returns:
        (batch, new_height, new_width, channels) of the same dtype, float32 for integers.
        Values are not scaled: see `resize_flow` for flow.

    Example:
        >>> resize_bilinear(ops.ones((1, 8, 8, 3)), (4, 4)).shape
        (1, 4, 4, 3)
    """
    height = _length(images, 1)
    width = _length(images, 2)
    if "float" not in str(images.dtype):
        images = ops.cast(images, "float32")
    dtype = images.dtype
    result = images
    if not _same(height, size[0]):
        rows = ops.cast(triangle_filter(height, size[0], align_corners), dtype)
        result = ops.einsum("oh,bhwc->bowc", rows, result)
    if not _same(width, size[1]):
        columns = ops.cast(triangle_filter(width, size[1], align_corners), dtype)
        result = ops.einsum("ow,bhwc->bhoc", columns, result)
    return result


def _length(tensor, axis):
    return ops.shape(tensor)[axis] if tensor.shape[axis] is None else tensor.shape[axis]


def _same(old, new):
    return isinstance(old, int) and isinstance(new, int) and old == new
