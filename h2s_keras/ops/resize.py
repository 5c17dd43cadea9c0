"""Bilinear resizing by a triangle filter, as two matrix products.

`tf.image.resize(antialias=True)` has no XLA kernel, and the resize of each backend
treats float16 and dynamic sizes differently. A separable triangle filter is two small
matrix products, which every backend compiles, differentiates and converts.
"""

from keras import ops


def triangle_filter(source, target):
    """Weights (target, source) of a triangle filter between two grids.

    Sample centres are half pixels (`align_corners=False`). When shrinking, the triangle
    widens with the scale, so that nothing aliases; weights that would fall outside the
    image are dropped and the rest renormalised, as in PIL and `tf.image.resize`.
    """
    source_length = ops.cast(source, "float32")
    scale = source_length / ops.cast(target, "float32")
    centre = (ops.arange(target, dtype="float32") + 0.5) * scale - 0.5
    distance = ops.abs(ops.arange(source, dtype="float32")[None, :] - centre[:, None])
    weights = ops.maximum(0.0, 1.0 - distance / ops.maximum(scale, 1.0))
    return weights / ops.sum(weights, axis=1, keepdims=True)


def resize_bilinear(images, size):
    """Resizes images, anti-aliased when shrinking.

    Args:
        images: (batch, height, width, channels), any dtype; static or dynamic sizes.
        size: (height, width) of the result; ints or scalar int tensors.

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
        rows = ops.cast(triangle_filter(height, size[0]), dtype)
        result = ops.einsum("oh,bhwc->bowc", rows, result)
    if not _same(width, size[1]):
        columns = ops.cast(triangle_filter(width, size[1]), dtype)
        result = ops.einsum("ow,bhwc->bhoc", columns, result)
    return result


def _length(tensor, axis):
    return ops.shape(tensor)[axis] if tensor.shape[axis] is None else tensor.shape[axis]


def _same(old, new):
    return isinstance(old, int) and isinstance(new, int) and old == new
