"""Flow of large images and large motions from a MotionNet that knows small ones."""

from collections.abc import Callable

from keras import ops

from h2s_keras.ops.flow import resize_flow, size_of
from h2s_keras.ops.resize import resize_bilinear
from h2s_keras.ops.warp import backward_warp
from h2s_keras.tensor_types import Flows, Tensor

_SMALLEST = 16  # pixels of a short side


def clip_pairs(clips: Tensor) -> Tensor:
    """The neighbouring frames of clips as clips of two frames.

    Args:
        clips: (batch, time, height, width, c).

    Returns:
        (batch * (time-1), 2, height, width, c); pair t of clip b is row b*(time-1) + t.

    Example:

    ```python
    clip_pairs(ops.zeros((4, 11, 64, 64, 3))).shape     # (40, 2, 64, 64, 3)
    ```
    """
    pairs = ops.stack([clips[:, :-1], clips[:, 1:]], axis=2)
    return ops.reshape(pairs, (-1, 2, size_of(clips, 2), size_of(clips, 3), clips.shape[4]))


def pyramid_sizes(height: int, width: int, multiple: int) -> list[tuple[int, int]]:
    """Image sizes of the passes, coarse to fine; the last is (height, width) itself.

    Each is half the next, rounded to `multiple`, and no short side is below 16
    pixels, so that all passes together cost 4/3 of the last.

    Example:

    ```python
    pyramid_sizes(64, 96, 8)    # [(16, 24), (32, 48), (64, 96)]
    ```
    """
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * max(_SMALLEST, multiple):
        halved = 2 ** len(sizes)
        sizes.append(
            tuple(
                max(multiple, round(side / halved / multiple) * multiple)
                for side in (height, width)
            )
        )
    return sizes[::-1]


def coarse_to_fine_flows(
    single_pass: Callable[[Tensor], Flows], pairs: Tensor, multiple: int
) -> Flows:
    """Flow between two frames, found on a small image first and refined up to full size.

    At every size the second frame is warped back by the flow found so far, and the
    network adds the motion that is left. Gradients reach every pass.

    Args:
        single_pass: function from pairs to a dict of flows of pyramid levels, of which
            "flow2" lies on half the size of the pairs.
        pairs: (batch, 2, height, width, 3) RGB 0..255, any dtype; static height and width,
            multiples of `multiple`.
        multiple: what the sides of every pass must be multiples of.

    Returns:
        dict of the last pass: the flows of all levels, float32 (batch, 1, h, w, 2), pixels
        of their own grid.

    Raises:
        ValueError: if height or width are not static.

    Reference: Black and Anandan 1996 (warping over a pyramid); one network at every size
    as in Hur and Roth 2019 (IRR).
    """
    height, width = pairs.shape[2:4]
    if height is None or width is None:
        raise ValueError(
            "Coarse-to-fine flow needs the height and width of the clips, which decide "
            f"the number of passes; received shape {tuple(pairs.shape)}."
        )
    frames = ops.cast(pairs, "float32")
    flows: Flows = {}
    for size in pyramid_sizes(height, width, multiple):
        first, second = (resize_bilinear(frames[:, index], size) for index in (0, 1))
        if not flows:
            flows = single_pass(ops.stack([first, second], axis=1))
        else:
            flows = add_motion(
                single_pass, first, second, resize_flow(flows["flow2"], size)
            )
    return flows


def add_motion(
    single_pass: Callable[[Tensor], Flows], first: Tensor, second: Tensor, base: Tensor
) -> Flows:
    """Flows of a pass that sees only the motion beyond `base`, added to it.

    Args:
        single_pass: as `coarse_to_fine_flows`.
        first, second: float (batch, height, width, 3).
        base: float (batch, 1, height, width, 2), pixels of the frames.

    Returns:
        dict of flows, as `single_pass` gives them.
    """
    left = single_pass(moved_clip(first, second, base[:, 0]))
    return {
        name: resize_flow(base, (size_of(flow, 2), size_of(flow, 3))) + flow
        for name, flow in left.items()
    }


def moved_clip(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """A clip (batch, 2, height, width, 3) whose motion beyond `flow` is left."""
    return ops.stack([first, backward_warp(second, flow, "border")], axis=1)


def without_noise(flows: Flows, pairs: Tensor, noise_floor: float) -> Flows:
    """Flows of a pass, smaller where its two pictures hardly differ.

    Without a difference there is no evidence of motion: what a network answers there is a
    guess, and a guess of 0.03 pixels on the smallest picture is a pixel on one of 640x480.
    Each flow is multiplied by d / (d + noise_floor ** 2), where d is the mean squared
    difference of the pictures around the place, over three by three pixels of its grid.

    Args:
        flows: dict of float (batch, 1, h, w, 2), as `single_pass` gives them.
        pairs: (batch, 2, height, width, 3) RGB 0..255, any dtype.
        noise_floor: grey levels, of about the noise of a camera and a codec.

    Returns:
        dict of the same names and shapes.

    Reference: the Wiener filter's gain, for a signal of unknown strength in known noise.
    """
    frames = ops.cast(pairs, "float32")
    squares = ops.square(frames[:, 1] - frames[:, 0])
    squares = ops.stop_gradient(ops.mean(squares, axis=-1, keepdims=True))
    result = {}
    for name, flow in flows.items():
        stride = pairs.shape[2] // flow.shape[2]
        around = ops.average_pool(squares, stride, stride) if stride > 1 else squares
        # PyTorch repeats the edge here, which is the same for a border of one pixel.
        around = ops.pad(around, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
        around = ops.average_pool(around, 3, 1)
        gain = around / (around + noise_floor**2)
        result[name] = flow * ops.cast(gain[:, None], flow.dtype)
    return result


def refined_flows(
    single_pass: Callable[[Tensor], Flows], pairs: Tensor, flows: Flows
) -> Flows:
    """One more pass over what the first left: all levels, added to the first.

    No gradient passes into the first pass, which has a loss of its own.

    Args:
        single_pass: as `coarse_to_fine_flows`.
        pairs: (batch, 2, height, width, 3).
        flows: dict of the first pass on these pairs, at any size.

    Returns:
        dict of the same names and shapes.
    """
    size = (size_of(pairs, 2), size_of(pairs, 3))
    base = ops.stop_gradient(resize_flow(flows["flow2"], size))
    frames = ops.cast(pairs, "float32")
    return add_motion(single_pass, frames[:, 0], frames[:, 1], base)
