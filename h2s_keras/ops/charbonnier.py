"""Generalised Charbonnier penalty."""

from keras import ops

from h2s_keras.tensor_types import Tensor


def charbonnier(difference: Tensor, alpha: float, epsilon: float = 1e-3) -> Tensor:
    """rho(x) = (x^2 + epsilon^2)^alpha, in float32.

    Epsilon stays inside the power: x^2 alone has a NaN gradient at zero for
    alpha < 0.5. float16 would overflow at a difference of 1.1 once scaled by 255.

    Args:
        difference: float tensor of any shape.
        alpha: exponent; 0.5 is close to the absolute value, smaller is more robust.
        epsilon: in units of `difference`.

    Returns:
        float32 tensor of the same shape.

    Example:
        >>> charbonnier(ops.zeros((1,)), alpha=0.5, epsilon=1e-3)     # 1e-3

    Reference: arXiv 1704.00389, equation 1; Sun, Roth and Black 2014.
    """
    return ops.power(ops.square(ops.cast(difference, "float32")) + epsilon**2, alpha)
