"""The unsupervised loss of the paper in plain PyTorch, channels before pixels."""

SMOOTHNESS = (0.01, 0.02, 0.04, 0.08, 0.16)
RGB_MEAN = (123.0, 117.0, 104.0)
PATCH = 8


def unsupervised_flow_loss(planes, flows):
    """Mean over the batch of photometric, smoothness and SSIM terms of all levels.

    Args:
        planes: float (batch, frames * 3, height, width), RGB 0..255.
        flows: list of (batch, pairs * 2, h, w), fine to coarse, pixels of their own grid.
    """
    import torch
    from torch.nn.functional import interpolate

    batch, channels, height, width = planes.shape
    frames = channels // 3
    mean = torch.tensor(RGB_MEAN).reshape(1, 1, 3, 1, 1)
    images = (planes.reshape(batch, frames, 3, height, width) - mean) / 255.0
    energy = images.square().sum(2, keepdim=True)
    normalized = (images / (1.0 + energy / 9.0) ** 0.7).reshape(planes.shape)
    total = 0.0
    for flow, smoothness in zip(flows, SMOOTHNESS[: len(flows)], strict=True):
        size = flow.shape[2:]
        level = interpolate(normalized, size=size, mode="bilinear", antialias=True)
        level = level.reshape(batch, frames, 3, *size)
        first = level[:, :-1].reshape(-1, 3, *size)
        second = level[:, 1:].reshape(-1, 3, *size)
        flow = flow.reshape(-1, 2, *size)
        warped = warp(second, flow)
        mask = border_mask(*size)
        difference = charbonnier(255.0 * (first - warped), 0.4)
        photometric = (difference * mask).sum() / (mask.sum() * 3 * len(flow))
        total = total + photometric + smoothness * smoothness_of(flow, mask)
        total = total + (1.0 - patch_ssim(first, warped)).mean()
    return total


def charbonnier(values, alpha, epsilon=1e-3):
    return (values.square() + epsilon**2) ** alpha


def warp(images, flow):
    import torch
    from torch.nn.functional import grid_sample

    height, width = flow.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32),
        torch.arange(width, dtype=torch.float32),
        indexing="ij",
    )
    unit_x = (x + flow[:, 0]) * (2.0 / (width - 1)) - 1.0
    unit_y = (y + flow[:, 1]) * (2.0 / (height - 1)) - 1.0
    grid = torch.stack((unit_x, unit_y), dim=-1)
    return grid_sample(images, grid, padding_mode="zeros", align_corners=True)


def border_mask(height, width, fraction=0.1):
    import math

    import torch

    border = math.floor(min(height, width) * fraction + 0.5)
    mask = torch.zeros(height, width)
    mask[border : height - border, border : width - border] = 1.0
    return mask


def smoothness_of(flow, mask):
    total = 0.0
    for axis in (3, 2):
        size = flow.shape[axis] - 1
        penalty = charbonnier(flow.diff(dim=axis), 0.3)
        kept = mask.narrow(axis - 2, 0, size)
        # Of both components at once, so half of the sum of their means.
        total = total + 2.0 * (penalty * kept).sum() / (kept.sum() * 2 * len(flow))
    return total


def patch_ssim(first, second, c1=1e-4, c2=1e-3):
    import torch
    from torch.nn.functional import conv2d, pad

    line = torch.exp(-((torch.arange(PATCH) - 4.0) ** 2) / (2 * (16 / 12) ** 2))
    window = torch.outer(line, line)
    window = (window / window.sum()).reshape(1, 1, PATCH, PATCH)

    def mean(images):
        height, width = images.shape[2:]
        padded = pad(images, (0, -width % PATCH, 0, -height % PATCH))
        flat = padded.reshape(-1, 1, *padded.shape[2:])
        return conv2d(flat, window, stride=PATCH)

    mean_1, mean_2 = mean(first), mean(second)
    variance_1 = mean(first.square()) - mean_1.square()
    variance_2 = mean(second.square()) - mean_2.square()
    covariance = mean(first * second) - mean_1 * mean_2
    numerator = (2.0 * mean_1 * mean_2 + c1) * (2.0 * covariance + c2)
    denominator = (mean_1.square() + mean_2.square() + c1) * (variance_1 + variance_2 + c2)
    return numerator / denominator
