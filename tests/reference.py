"""Slow, plain NumPy references in float64: loops, one pixel at a time.

Written from the formulas of the method, never from the package, which they must not
import: two mistakes that agree are not likely when nothing is shared.
"""

import itertools
import math

import numpy as np

RGB_MEAN = (123.0, 117.0, 104.0)


def warp(image, flow, padding="zeros"):
    """warped[b, y, x] = image[b, y + flow_y, x + flow_x], bilinear."""
    image, flow = np.asarray(image, float), np.asarray(flow, float)
    batch, height, width, _ = image.shape
    warped = np.zeros_like(image)
    for b, y, x in np.ndindex(batch, height, width):
        at_x, at_y = x + flow[b, y, x, 0], y + flow[b, y, x, 1]
        if padding == "border":
            at_x = min(max(at_x, 0.0), width - 1.0)
            at_y = min(max(at_y, 0.0), height - 1.0)
        left, top = math.floor(at_x), math.floor(at_y)
        for row in (top, top + 1):
            for column in (left, left + 1):
                weight = (1 - abs(at_y - row)) * (1 - abs(at_x - column))
                if 0 <= row < height and 0 <= column < width:
                    warped[b, y, x] += weight * image[b, row, column]
    return warped


def charbonnier(difference, alpha, epsilon=1e-3):
    values = [(x * x + epsilon * epsilon) ** alpha for x in np.ravel(difference).tolist()]
    return np.reshape(values, np.shape(difference))


def border_mask(height, width, fraction=0.1):
    """0 where a pixel is nearer to an edge than the rounded share of the short side."""
    border = math.floor(round(fraction * min(height, width), 6) + 0.5)
    mask = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        if min(y, height - 1 - y, x, width - 1 - x) >= border:
            mask[y, x] = 1.0
    return mask


def smoothness(flow, mask=None, scale=1.0, alpha=0.3, epsilon=1e-3):
    """(n,): equation 2, the sum of four means of penalties over the pixels that count."""
    flow = scale * np.asarray(flow, float)
    count, height, width, _ = flow.shape
    mask = np.ones((height, width)) if mask is None else mask
    result = np.zeros(count)
    for n in range(count):
        for step_y, step_x in ((0, 1), (1, 0)):
            for component in (0, 1):
                penalties = [
                    charbonnier(
                        flow[n, y + step_y, x + step_x, component]
                        - flow[n, y, x, component],
                        alpha,
                        epsilon,
                    )
                    for y in range(height - step_y)
                    for x in range(width - step_x)
                    if mask[y, x]
                ]
                result[n] += np.mean(penalties) if penalties else 0.0
    return result


def ssim(first, second, c1=1e-4, c2=1e-3):
    """8x8 patches of stride 8; those over the right and lower edge keep fewer pixels."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    count, height, width, channels = first.shape
    line = [math.exp(-((i - 4.0) ** 2) / (2 * (16 / 12) ** 2)) for i in range(8)]
    rows, columns = math.ceil(height / 8), math.ceil(width / 8)
    result = np.zeros((count, rows, columns, channels))
    for n, row, column, channel in np.ndindex(*result.shape):
        sums = np.zeros(5)
        for i, j in np.ndindex(8, 8):
            y, x = 8 * row + i, 8 * column + j
            if y < height and x < width:
                a, b = first[n, y, x, channel], second[n, y, x, channel]
                weight = line[i] * line[j] / sum(line) ** 2
                sums += weight * np.array([a, b, a * a, b * b, a * b])
        mean_a, mean_b = sums[:2]
        variance_a, variance_b = sums[2] - mean_a**2, sums[3] - mean_b**2
        covariance = sums[4] - mean_a * mean_b
        result[n, row, column, channel] = (
            (2 * mean_a * mean_b + c1)
            * (2 * covariance + c2)
            / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))
        )
    return result


def local_response_normalization(values, radius=4, bias=1.0, alpha=1 / 9, beta=0.7):
    values = np.asarray(values, float)
    channels = values.shape[-1]
    result = np.zeros_like(values)
    for index in np.ndindex(*values.shape):
        low, high = max(index[-1] - radius, 0), min(index[-1] + radius, channels - 1)
        energy = sum(values[index[:-1]][c] ** 2 for c in range(low, high + 1))
        result[index] = values[index] / (bias + alpha * energy) ** beta
    return result


def triangle_weights(source, target, corners=False):
    """(target, source): how much each old sample counts for each new one.

    Without `corners` sample centres are half pixels. With it the first and the last sample
    of both lines coincide. The triangle is as wide as a step when shrinking.
    """
    if corners:
        scale = (source - 1) / (target - 1)
        centres = [new * scale for new in range(target)]
    else:
        scale = source / target
        centres = [(new + 0.5) * scale - 0.5 for new in range(target)]
    weights = np.zeros((target, source))
    for new, old in np.ndindex(target, source):
        weights[new, old] = max(0.0, 1.0 - abs(old - centres[new]) / max(scale, 1.0))
    return weights / weights.sum(axis=1, keepdims=True)


def resize(images, size, corners=False):
    images = np.asarray(images, float)
    rows = triangle_weights(images.shape[1], size[0], corners)
    columns = triangle_weights(images.shape[2], size[1], corners)
    result = np.zeros((images.shape[0], *size, images.shape[3]))
    for n, y, x in np.ndindex(images.shape[0], *size):
        weight = np.outer(rows[y], columns[x])[..., None]
        result[n, y, x] = np.sum(weight * images[n], axis=(0, 1))
    return result


def deconvolved_twice(values):
    """Bilinear enlargement by a deconvolution 4x4, stride 2, padding 1, per channel.

    Every value is laid down as a 4x4 triangle; beyond the edge there is nothing.
    """
    values = np.asarray(values, float)
    count, height, width, channels = values.shape
    line = (0.25, 0.75, 0.75, 0.25)
    result = np.zeros((count, 2 * height, 2 * width, channels))
    for y, x, i, j in np.ndindex(height, width, 4, 4):
        to_y, to_x = 2 * y + i - 1, 2 * x + j - 1
        if 0 <= to_y < 2 * height and 0 <= to_x < 2 * width:
            result[:, to_y, to_x] += line[i] * line[j] * values[:, y, x]
    return result


def quantize_flow(flow, bound=20.0, levels=None):
    result = []
    for value in np.ravel(flow).tolist():
        unit = (min(max(value, -bound), bound) + bound) / (2 * bound)
        if levels is not None:
            unit = round(unit * (levels - 1)) / (levels - 1)
        result.append(255.0 * unit)
    return np.reshape(result, np.shape(flow))


GROWING = (0.01, 0.02, 0.04, 0.08, 0.16)


def paper_level(clip, flow, border, padding):
    """Equations 1, 2 and 3 at one level of one clip, each the mean over its pairs."""
    pairs, height, width, _ = flow.shape
    mask = border_mask(height, width, border)
    frames = local_response_normalization((clip - RGB_MEAN) / 255.0)
    frames = resize(frames, (height, width))
    terms = np.zeros(3)
    for pair in range(pairs):
        first = frames[pair : pair + 1]
        warped = warp(frames[pair + 1 : pair + 2], flow[pair][None], padding)
        penalty = charbonnier(255.0 * (first - warped), 0.4)[0].mean(axis=-1)
        counted = penalty[mask == 1]
        terms[0] += counted.mean() if counted.size else 0.0
        terms[1] += smoothness(flow[pair][None], mask)[0]
        terms[2] += np.mean(1.0 - ssim(first, warped))
    return terms / pairs


def released_level(clip, flow, border, padding):
    """The four losses of one level of the released graph, for a batch of one clip.

    As its layers define them: the images of all pairs side by side as 3 channels each, a
    border mask of as many channels, whose sum every Charbonnier loss is divided by; the
    differences of U in x and in y as 2 channels for each pair, set to 0 in the last column
    and the last row; those of V alike. (photometric, U, V, SSIM)
    """
    pairs, height, width, _ = flow.shape
    plane = border_mask(height, width, border)
    divisor = 3 * pairs * plane.sum()
    frames = local_response_normalization((clip - RGB_MEAN) * 0.0039216)
    frames = resize(frames, (height, width), corners=True)
    photometric, u, v, unlike = 0.0, 0.0, 0.0, 0.0
    for pair in range(pairs):
        first = frames[pair : pair + 1]
        warped = warp(frames[pair + 1 : pair + 2], flow[pair][None], padding)
        penalty = charbonnier(255.0 * (first - warped), 0.4)[0]
        photometric += (penalty * plane[..., None]).sum()
        unlike += (1.0 - ssim(first, warped)).sum()
        sums = []
        for component in (0, 1):
            field = flow[pair, :, :, component]
            in_x, in_y = np.zeros_like(field), np.zeros_like(field)
            in_x[:, :-1] = field[:, 1:] - field[:, :-1]
            in_y[:-1] = field[1:] - field[:-1]
            penalties = charbonnier(in_x, 0.3) + charbonnier(in_y, 0.3)
            sums.append((penalties * plane).sum())
        u, v = u + sums[0], v + sums[1]
    return np.array([photometric, u, v, unlike * divisor]) / divisor


def loss(clips, flows, weighting="paper", border=0.1, padding="zeros", batch=16):
    """The three weighted terms and their total, each (batch,); `flows` fine to coarse."""
    clips = np.asarray(clips, float)
    result = {name: np.zeros(len(clips)) for name in ("photometric", "smoothness", "ssim")}
    for (index, clip), (flow, growing) in itertools.product(
        enumerate(clips), zip(flows, GROWING, strict=False)
    ):
        flow = np.asarray(flow, float)[index]
        if weighting == "paper":
            pixel, smooth, unlike = paper_level(clip, flow, border, padding)
            parts = pixel, growing * smooth, unlike
        else:
            pixel, u, v, unlike = released_level(clip, flow, border, padding)
            parts = pixel / batch, (u + v) / batch, growing * unlike
        for name, part in zip(result, parts, strict=True):
            result[name][index] += part
    result["total"] = result["photometric"] + result["smoothness"] + result["ssim"]
    return result


def convolution(image, kernel, bias):
    """3x3, stride 1, zero padding 1; kernel (3, 3, in, out)."""
    count, height, width, _ = image.shape
    result = np.zeros((count, height, width, kernel.shape[3])) + bias
    for y, x, i, j in np.ndindex(height, width, 3, 3):
        if 0 <= y + i - 1 < height and 0 <= x + j - 1 < width:
            result[:, y, x] += image[:, y + i - 1, x + j - 1] @ kernel[i, j]
    return result


def deconvolution(image, kernel, bias):
    """4x4, stride 2, padding 1 as Caffe defines it; kernel (4, 4, out, in)."""
    count, height, width, _ = image.shape
    result = np.zeros((count, 2 * height, 2 * width, kernel.shape[2])) + bias
    for y, x, i, j in np.ndindex(height, width, 4, 4):
        to_y, to_x = 2 * y + i - 1, 2 * x + j - 1
        if 0 <= to_y < 2 * height and 0 <= to_x < 2 * width:
            result[:, to_y, to_x] += image[:, y, x] @ kernel[i, j].T
    return result


def leaky_relu(values, slope=0.1):
    return np.where(values > 0, values, slope * values)
