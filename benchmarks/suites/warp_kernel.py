"""What a kernel of its own would make of the warp on a GPU, against the library's.

    KERAS_BACKEND=jax python -m benchmarks warp_kernel --rounds 10

The kernel is written in Pallas (JAX's language for GPU kernels): one element of the result
a lane in the forward pass, one pixel a lane for the gradient in flow. The library does not
use it: XLA cannot split a kernel over devices, transform it a second time or run it
elsewhere, and of a training step of MotionNet the warp is about 2 percent. Each line is the
share of the bandwidth of a copy, each input read once and each output written once.
"""

import functools
import statistics

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from benchmarks.backend import value_and_gradients
from benchmarks.harness import measure
from benchmarks.peers.inputs import warp_inputs
from benchmarks.suites.accelerator import prepare, queued
from h2s_keras.ops.warp import backward_warp

SHAPES = ((640, 112, 112, 3), (16, 1080, 1920, 3))
# Lanes of a program and warps that share them: of the forward pass, of the gradient.
FORWARD, GRADIENT = (1024, 8), (256, 4)


def run(settings, figures):
    prepare(figures, settings)
    for shape in ((2, 16, 24, 3),) if settings.smoke else SHAPES:
        elements = 2**16 if settings.smoke else 2**28
        _measure_shape(figures, shape, elements, settings.rounds)


def load(array, index, mask):
    return triton.load(array.at[index], mask=mask, other=0.0)


def taps(flow, pixel, known, size):
    """((pixel's row, inside, weight) of four taps, fractions) for lanes of pixels."""
    height, width = size
    row, first = pixel // width % height, pixel // (height * width) * height
    x = (pixel % width).astype("float32") + load(flow, pixel * 2, known)
    y = row.astype("float32") + load(flow, pixel * 2 + 1, known)
    x = jnp.minimum(jnp.maximum(x, -2.0), width + 1.0)
    y = jnp.minimum(jnp.maximum(y, -2.0), height + 1.0)
    left, top = jnp.floor(x), jnp.floor(y)
    part_x, part_y = x - left, y - top
    found = []
    for down in (0, 1):
        for right in (0, 1):
            column = left.astype("int32") + right
            line = top.astype("int32") + down
            inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
            weight = (part_y if down else 1 - part_y) * (part_x if right else 1 - part_x)
            found.append(((first + line) * width + column, inside & known, weight))
    return found, part_x, part_y


def lanes(block, count):
    index = pl.program_id(0) * block + jnp.arange(block, dtype="int32")
    return index, index < count


def forward_kernel(image, flow, out, *, size, channels, pixels):
    element, known = lanes(FORWARD[0], pixels * channels)
    found, _, _ = taps(flow, element // channels, known, size)
    total = jnp.zeros(element.shape, "float32")
    for place, inside, weight in found:
        total += weight * load(image, place * channels + element % channels, inside)
    triton.store(out.at[element], total, mask=known)


def gradient_kernel(image, flow, upstream, out, *, size, channels, pixels):
    pixel, known = lanes(GRADIENT[0], pixels)
    found, part_x, part_y = taps(flow, pixel, known, size)
    of_x = of_y = jnp.zeros(pixel.shape, "float32")
    for channel in range(channels):
        a, b, c, d = (load(image, at * channels + channel, ok) for at, ok, _ in found)
        up = load(upstream, pixel * channels + channel, known)
        of_x += up * ((1 - part_y) * (b - a) + part_y * (d - c))
        of_y += up * ((1 - part_x) * (c - a) + part_x * (d - b))
    triton.store(out.at[pixel * 2], of_x, mask=known)
    triton.store(out.at[pixel * 2 + 1], of_y, mask=known)


def call(kernel, lanes_and_warps, shape, count, out, *arrays):
    block, warps = lanes_and_warps
    size, channels = shape[1:3], shape[3]
    pixels = shape[0] * size[0] * size[1]
    on_cpu = jax.default_backend() == "cpu"
    options = {} if on_cpu else {"compiler_params": triton.CompilerParams(num_warps=warps)}
    return pl.pallas_call(
        functools.partial(kernel, size=size, channels=channels, pixels=pixels),
        out_shape=jax.ShapeDtypeStruct((out,), "float32"),
        grid=(pl.cdiv(count, block),),
        interpret=on_cpu,
        **options,
    )(*(array.reshape(-1) for array in arrays))


@jax.jit
def warp(image, flow):
    size = image.size
    result = call(forward_kernel, FORWARD, image.shape, size, size, image, flow)
    return result.reshape(image.shape)


@jax.jit
def warp_and_gradient(image, flow, upstream):
    pixels = flow.size // 2
    arrays = (image, flow, upstream)
    shape = image.shape
    gradient = call(gradient_kernel, GRADIENT, shape, pixels, flow.size, *arrays)
    return [warp(image, flow), gradient.reshape(flow.shape)]


def _measure_shape(figures, shape, elements, rounds):
    image, flow, upstream = map(jnp.asarray, warp_inputs(shape))
    copied = jnp.zeros(elements, "float32")
    copy = jax.jit(lambda values: values + 1.0)
    ours = jax.jit(backward_warp)
    with_flow = jax.jit(value_and_gradients(backward_warp, (1,)))
    arrays = (image, flow, upstream)
    for one, two in zip(warp_and_gradient(*arrays), with_flow(*arrays), strict=True):
        apart = float(jnp.abs(one - two).max() / jnp.abs(two).max())
        if not apart < 1e-5:
            raise RuntimeError(f"{shape}: the kernel differs by {apart}")
    functions = {
        "copy": queued(lambda: copy(copied)),
        "forward, library": queued(lambda: ours(image, flow)),
        "forward, kernel": queued(lambda: warp(image, flow)),
        "flow gradient, library": queued(lambda: with_flow(*arrays)),
        "flow gradient, kernel": queued(lambda: warp_and_gradient(*arrays)),
    }
    seconds = measure(functions, rounds)
    rates = [2 * copied.nbytes / one for one in seconds.pop("copy")]
    size = "x".join(map(str, shape))
    figures.value(f"GB/s of a copy, {size}", round(statistics.median(rates) / 1e9))
    for case, values in seconds.items():
        moved = 2 * image.nbytes + flow.nbytes
        if case.startswith("flow"):
            moved += upstream.nbytes + flow.nbytes
        shares = [moved / one / rate for one, rate in zip(values, rates, strict=True)]
        figures.add(f"{case}, {size}", "share of the bandwidth", shares)
