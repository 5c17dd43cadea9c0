"""A plain NumPy forward pass of Caffe networks, in Caffe's own order of axes.

Nothing here imports the package.
"""

import math

import numpy as np
from caffe_writer import NORMALIZATIONS, WEIGHTED
from numpy.lib.stride_tricks import sliding_window_view


def _convolve(values, weights, bias, stride, pad):
    padded = np.pad(values, ((0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, weights.shape[2:], axis=(1, 2))
    windows = windows[:, ::stride, ::stride]  # c h w kh kw
    joined = np.tensordot(weights, windows, axes=((1, 2, 3), (0, 3, 4)))
    return joined + bias[:, None, None]


def _deconvolve(values, weights, bias, stride, pad):
    kernel = weights.shape[2]
    _, height, width = values.shape
    rows, columns = (stride * (side - 1) + kernel for side in (height, width))
    whole = np.zeros((weights.shape[1], rows, columns))
    for y in range(kernel):
        for x in range(kernel):
            added = np.tensordot(weights[:, :, y, x], values, axes=(0, 0))
            whole[:, y : y + stride * height : stride, x : x + stride * width : stride] += (
                added
            )
    return whole[:, pad : rows - pad, pad : columns - pad] + bias[:, None, None]


def _pool(values, kernel, stride, pad, kind):
    """Rounds the size up; the average counts the padding, but nothing beyond it."""
    size = values.shape[1:]
    counts = []
    for side in size:
        count = math.ceil((side + 2 * pad - kernel) / stride) + 1
        # No window starts beyond the padded image.
        counts.append(count - 1 if pad and (count - 1) * stride >= side + pad else count)
    result = np.empty((len(values), *counts))
    for row in range(counts[0]):
        for column in range(counts[1]):
            starts = (row * stride - pad, column * stride - pad)
            ends = [
                min(at + kernel, side + pad) for at, side in zip(starts, size, strict=True)
            ]
            area = math.prod(end - at for at, end in zip(starts, ends, strict=True))
            window = values[
                :,
                max(0, starts[0]) : min(ends[0], size[0]),
                max(0, starts[1]) : min(ends[1], size[1]),
            ]
            found = window.max((1, 2)) if kind == "MAX" else window.sum((1, 2)) / area
            result[:, row, column] = found
    return result


def _normalize(values, layer, blobs):
    blobs = [np.asarray(blob, "float64").reshape(-1, 1, 1) for blob in blobs]
    scale, shift, mean, variance = 1.0, 0.0, 0.0, 1.0 - layer.eps
    if layer.type == "BN":
        scale, shift, mean, variance = blobs
    elif layer.type == "BatchNorm":
        mean, variance = (blob / blobs[2] for blob in blobs[:2])
    else:
        scale, shift = blobs
    return scale * (values - mean) / np.sqrt(variance + layer.eps) + shift


def forward(net, weights, data):
    """dict of all tops for data (channels, height, width), computed in float64."""
    tops = {"data": np.asarray(data, "float64")}
    for layer in net:
        tops[layer.top] = compute(layer, weights, tops)
    return tops


def compute(layer, weights, tops):
    """The top of one layer from those before it."""
    first = tops[layer.bottoms[0]]
    if layer.type in WEIGHTED:
        kernel, bias = (np.asarray(array, "float64") for array in weights[layer.name])
    if layer.type == "Convolution":
        return _convolve(first, kernel, bias, layer.stride, layer.pad)
    if layer.type == "Deconvolution":
        return _deconvolve(first, kernel, bias, layer.stride, layer.pad)
    if layer.type == "InnerProduct":
        return kernel @ first.ravel() + bias
    if layer.type in NORMALIZATIONS:
        return _normalize(first, layer, weights[layer.name])
    if layer.type == "ReLU":
        return np.where(first > 0, first, layer.slope * first)
    if layer.type == "Concat":
        return np.concatenate([tops[bottom] for bottom in layer.bottoms])
    if layer.type == "Pooling":
        return _pool(first, layer.kernel, layer.stride, layer.pad, layer.pool)
    raise ValueError(layer.type)


def caffe_frames(clip):
    """(time, height, width, 3) RGB 0..255 as Caffe's data: BGR minus mean, over 255."""
    bgr = np.asarray(clip, "float64")[..., ::-1] - (104.0, 117.0, 123.0)
    stacked = bgr.transpose(0, 3, 1, 2) / 255.0
    return stacked.reshape(-1, *stacked.shape[2:])
