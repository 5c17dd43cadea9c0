"""The terms by which flow is judged without labels, at one level of the pyramid."""

from keras import ops

from h2s_keras.ops.census import census_distance
from h2s_keras.ops.charbonnier import charbonnier
from h2s_keras.ops.flow import size_of
from h2s_keras.ops.occlusion import (
    forward_backward_visibility,
    range_map_visibility,
    valid_positions,
)
from h2s_keras.ops.smoothness import border_mask, masked_mean
from h2s_keras.ops.ssim import patch_ssim
from h2s_keras.ops.warp import backward_warp
from h2s_keras.tensor_types import Tensor

PHOTOMETRIC = ("charbonnier", "census")
OCCLUSION = (None, "forward_backward", "range_map")


def warp_from_margin(
    image: Tensor, flow: Tensor, margin: int, padding: str = "zeros"
) -> Tensor:
    """`backward_warp` of an image that is `margin` pixels larger on every side than flow.

    Flow that leaves its own grid then still finds what it points to.

    Args:
        image: float (n, height + 2 margin, width + 2 margin, channels).
        flow: float (n, height, width, 2), pixels of the same grid.
        margin: pixels, 0 for an image of the size of flow.
        padding: padding of the warp, beyond the margin.

    Returns:
        (n, height, width, channels).

    Reference: Stone et al. 2021 (SMURF), section 3.2, "full-image warping".
    """
    if not margin:
        return backward_warp(image, flow, padding)
    around = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    return crop_margin(backward_warp(image, ops.pad(flow, around), padding), margin)


def crop_margin(images: Tensor, margin: int) -> Tensor:
    """(n, height, width, c) without `margin` pixels on every side."""
    return images[:, margin:-margin, margin:-margin] if margin else images


def visibility(flow: Tensor, backward_flow: Tensor, kind: str, margin: int = 0) -> Tensor:
    """float32 (n, height, width, 1), 1 where a pixel is seen in the next frame too.

    Args:
        flow, backward_flow: float (n, height, width, 2), pixels of this grid.
        kind: "forward_backward" or "range_map", see h2s_keras.ops.occlusion.
        margin: pixels by which the images are larger than flow on every side. What moves
            into the margin can be compared, and counts as seen.
    """
    if kind == "forward_backward":
        seen = forward_backward_visibility(flow, backward_flow)
    else:
        seen = range_map_visibility(backward_flow)
    inside = valid_positions(flow)
    if not margin:
        return seen * inside
    return seen * inside + valid_positions(flow, margin) - inside


def photometric_terms(
    frames: tuple[Tensor, Tensor],
    flow: Tensor,
    normalized: tuple[Tensor, Tensor] | None = None,
    margin: int = 0,
    seen: Tensor | None = None,
    photometric: str = "charbonnier",
    border: float = 0.1,
    padding: str = "zeros",
) -> dict[str, Tensor]:
    """Unweighted terms that compare pairs of frames under their flow.

    Args:
        frames: (first, second), float (n, height + 2 margin, width + 2 margin, 3), RGB
            over 255.
        flow: float (n, height, width, 2), pixels of the grid, on `first` without margin.
        normalized: the frames after local response normalisation, which the Charbonnier
            penalty and SSIM compare; None: they compare the plain frames.
        margin: see `warp_from_margin`.
        seen: None, or float (n, height, width, 1), 1 where `first` is seen in `second`;
            elsewhere the frames are not compared.
        photometric: "charbonnier" or "census".
        border: share of the short side that "photometric" leaves out.
        padding: padding of the warp.

    Returns:
        dict "photometric", float32 (n,), and "ssim", float32 (n, rows, columns, 3) of
        1 - SSIM for the caller to reduce.

    Reference: arXiv 1704.00389, equations 1, 3 and 4, and the sources of the options.
    """
    compared = frames if normalized is None else normalized
    target = crop_margin(compared[0], margin)
    warped = warp_from_margin(compared[1], flow, margin, padding)
    counted = border_mask(size_of(flow, 1), size_of(flow, 2), border)
    if seen is not None:
        counted = counted[None, :, :, None] * seen
    if photometric == "census":
        moved = warped
        if normalized is not None:
            moved = warp_from_margin(frames[1], flow, margin, padding)
        distance = census_distance(255.0 * crop_margin(frames[0], margin), 255.0 * moved)
        # The root takes the sting out of patterns that will never match.
        difference = charbonnier(distance, alpha=0.4, epsilon=0.01)
    else:
        difference = charbonnier(255.0 * (target - warped), alpha=0.4)
    if seen is not None:
        # What is hidden is taken as matched, so that it teaches nothing.
        warped = seen * warped + (1.0 - seen) * target
    return {
        "photometric": masked_mean(difference, counted),
        "ssim": 1.0 - patch_ssim(target, warped),
    }


def motion_consistency(flow: Tensor, border: float = 0.1) -> Tensor:
    """How much the flow of a moving point changes from one pair to the next, (batch,).

    A point that moved by f_t moves by nearly the same in the next pair:
    f_t(x) ~ f_{t+1}(x + f_t(x)).

    Args:
        flow: float (batch, pairs, height, width, 2), pixels of its own grid, two pairs or
            more.
        border: share of the short side that is left out.

    Returns:
        float32 (batch,): mean Charbonnier penalty (alpha 0.45) over pixels and pairs.

    Reference: Janai et al. 2018, "Unsupervised Learning of Multi-Frame Optical Flow with
    Occlusions", constant-velocity constraint.
    """
    pairs, height, width = flow.shape[1] - 1, size_of(flow, 2), size_of(flow, 3)
    now = ops.reshape(flow[:, :-1], (-1, height, width, 2))
    following = ops.reshape(flow[:, 1:], (-1, height, width, 2))
    # Where flow points is taken as given, so that the warp cannot flee to a smooth spot.
    moved, inside = backward_warp(
        following, ops.stop_gradient(now), "border", return_mask=True
    )
    mask = border_mask(height, width, border)[None, :, :, None] * inside
    penalty = masked_mean(charbonnier(now - moved, alpha=0.45), mask)
    return ops.mean(ops.reshape(penalty, (-1, pairs)), axis=1)
