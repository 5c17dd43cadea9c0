"""Where a pixel of one frame has no counterpart in the next: masks from two flows."""

from keras import ops

from h2s_keras.ops.flow import pixel_grid, size_of
from h2s_keras.ops.warp import backward_warp
from h2s_keras.tensor_types import Tensor


def forward_backward_visibility(
    flow: Tensor, backward_flow: Tensor, relative: float = 0.01, absolute: float = 0.5
) -> Tensor:
    """1 where flow forth and flow back agree, 0 where the pixel is hidden in frame t+1.

    A pixel counts as hidden where
    `|f + b(x + f)|^2 >= relative (|f|^2 + |b|^2) + absolute`, and where
    its flow leaves the image, since nothing can be compared there.
    No gradient passes: a mask that could learn would hide everything.

    Args:
        flow: float (n, height, width, 2), from frame t to t+1, pixels of this grid.
        backward_flow: the same from frame t+1 to t.
        relative, absolute: thresholds, as published; `absolute` in squared pixels of this
            grid.

    Returns:
        float32 (n, height, width, 1).

    Example:

    ```python
    # 1 but in the last row and column, from where a flow of (1, 1) leaves the image.
    forward_backward_visibility(ops.ones((1, 8, 8, 2)), -ops.ones((1, 8, 8, 2)))
    ```

    Reference: Sundaram, Brox and Keutzer 2010; Meister, Hur and Roth 2018 (UnFlow),
    equation 2, whose released code masks flow out of the image as well.
    """
    flow = ops.stop_gradient(ops.cast(flow, "float32"))
    backward_flow = ops.stop_gradient(ops.cast(backward_flow, "float32"))
    back, inside = backward_warp(backward_flow, flow, "border", return_mask=True)
    gap = ops.sum(ops.square(flow + back), axis=-1, keepdims=True)
    size = ops.sum(ops.square(flow) + ops.square(back), axis=-1, keepdims=True)
    agree = ops.cast(gap < relative * size + absolute, "float32")
    return agree * inside


def valid_positions(flow: Tensor, margin: int = 0) -> Tensor:
    """1 where a pixel's position plus its flow lies in the image, 0 where it leaves it.

    Args:
        flow: float (n, height, width, 2), pixels of this grid.
        margin: pixels by which the image is larger than flow on every side.

    Returns:
        float32 (n, height, width, 1), without gradient.

    Example:

    ```python
    valid_positions(ops.ones((1, 2, 2, 2)))[0, :, :, 0]     # [[1, 0], [0, 0]]
    ```
    """
    flow = ops.stop_gradient(ops.cast(flow, "float32"))
    height, width = size_of(flow, 1), size_of(flow, 2)
    place = pixel_grid(height, width)[None] + flow
    last = ops.stack([ops.cast(side, "float32") - 1.0 for side in (width, height)])
    inside = (place >= -margin) & (place <= last + margin)
    return ops.cast(ops.all(inside, axis=-1, keepdims=True), "float32")


def range_map(flow: Tensor) -> Tensor:
    """How much of the other frame lands on each pixel: 1 where all is seen once.

    Every pixel of the frame that `flow` lies on hands its weight 1 to the four pixels
    around its target, bilinearly; what falls outside is lost.

    Args:
        flow: float (n, height, width, 2), pixels of this grid. The backward flow gives
            the map of frame t.

    Returns:
        float32 (n, height, width, 1), without gradient.

    Example:

    ```python
    range_map(ops.zeros((1, 8, 8, 2)))      # ones
    ```

    Reference: Wang et al. 2018, "Occlusion Aware Unsupervised Learning of Optical Flow".
    """
    flow = ops.stop_gradient(ops.cast(flow, "float32"))
    height, width = size_of(flow, 1), size_of(flow, 2)
    last_x, last_y = (ops.cast(side, "float32") - 1.0 for side in (width, height))
    target = pixel_grid(height, width)[None] + flow
    low = ops.floor(target)
    share = target - low
    number = ops.arange(ops.shape(flow)[0], dtype="int32")[:, None, None]
    total = 0.0
    count = ops.shape(flow)[0] * height * width
    for down in (0, 1):
        for right in (0, 1):
            x, y = low[..., 0] + right, low[..., 1] + down
            weight = (share[..., 0] if right else 1.0 - share[..., 0]) * (
                share[..., 1] if down else 1.0 - share[..., 1]
            )
            inside = (x >= 0) & (x <= last_x) & (y >= 0) & (y <= last_y)
            x = ops.cast(ops.clip(x, 0.0, last_x), "int32")
            y = ops.cast(ops.clip(y, 0.0, last_y), "int32")
            index = (number * height + y) * width + x
            weight = ops.where(inside, weight, 0.0)
            total = total + ops.segment_sum(
                ops.reshape(weight, (-1,)), ops.reshape(index, (-1,)), num_segments=count
            )
    return ops.stop_gradient(ops.reshape(total, (-1, height, width, 1)))


def range_map_visibility(backward_flow: Tensor, threshold: float = 0.6) -> Tensor:
    """1 where enough of frame t+1 lands on a pixel of frame t, 0 where it is hidden.

    Args:
        backward_flow: float (n, height, width, 2), from frame t+1 to t.
        threshold: as of `range_map`; a stretch by less than 1 / threshold hides nothing.

    Returns:
        float32 (n, height, width, 1), without gradient.

    Reference: as `range_map`, which the authors use as it is, cut at 1, as a soft mask. A
    threshold keeps slow stretches fully visible; Jonschkowski et al. 2020 (UFlow) try 0.75,
    0.6 is this library's.
    """
    return ops.cast(range_map(backward_flow) >= threshold, "float32")
