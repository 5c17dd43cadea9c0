"""Flow of large images and large motions from a MotionNet that knows small ones."""

from keras import ops

from h2s_keras.ops.flow import resize_flow, size_of
from h2s_keras.ops.resize import resize_bilinear
from h2s_keras.ops.warp import backward_warp


def coarse_to_fine_flow(motion_net, clips, iterations=1, smallest=16, predict=None):
    """Flow between two frames, found on a small image first and refined up to full size.

    At every size the second frame is warped back by the flow found so far, and the
    network adds what motion is left. Each size is half the next, so that all together
    cost `iterations` times 4/3 of one pass over the full image.

    Args:
        motion_net: MotionNet of 2 frames.
        clips: float or integer (batch, 2, height, width, 3) RGB 0..255, sides multiples of
            `motion_net.size_multiple`.
        iterations: passes at every size. A second one gained nothing on held-out clips
            (docs/results.md).
        smallest: the short side, in pixels, that no image goes below.
        predict: function from clips (NumPy) to a dict of flows, such as a compiled one;
            None: `motion_net` is called.

    Returns:
        float32 (batch, 1, height, width, 2), pixels.

    Source: Black and Anandan 1996 (warping over a pyramid); one network at every size as in
    Hur and Roth 2019 (IRR).
    """
    multiple = motion_net.size_multiple
    height, width = clips.shape[2:4]
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * max(smallest, multiple):
        halved = 2 ** len(sizes)
        sizes.append(
            tuple(
                max(multiple, round(side / halved / multiple) * multiple)
                for side in (height, width)
            )
        )
    frames = ops.cast(clips, "float32")
    flow = None
    for size in reversed(sizes):
        first, second = (resize_bilinear(frames[:, index], size) for index in (0, 1))
        if flow is None:
            flow = ops.zeros((clips.shape[0], 1, *size, 2), dtype="float32")
        else:
            flow = resize_flow(flow, size)
        for _ in range(iterations):
            moved = moved_clip(first, second, flow[:, 0])
            if predict is None:
                rest = motion_net(moved, training=False)["flow2"]
            else:
                rest = ops.convert_to_tensor(predict(ops.convert_to_numpy(moved))["flow2"])
            flow = flow + resize_flow(rest, size)
    return flow


def moved_clip(first, second, flow):
    """A clip (batch, 2, height, width, 3) whose motion beyond `flow` is left."""
    return ops.stack([first, backward_warp(second, flow, "border")], axis=1)


def refined_flows(motion, clips, flows, training=None):
    """One more pass over what the first left: all levels, added to the first.

    No gradient passes into the first pass, which has a loss of its own.

    Args:
        motion: MotionNet of 2 frames.
        clips: (batch, 2, height, width, 3).
        flows: dict of its flows on these clips.

    Returns:
        dict of the same names and shapes.
    """
    size = (size_of(clips, 2), size_of(clips, 3))
    base = ops.stop_gradient(resize_flow(flows["flow2"], size))
    frames = ops.cast(clips, "float32")
    moved = ops.stop_gradient(moved_clip(frames[:, 0], frames[:, 1], base[:, 0]))
    rest = motion(moved, training=training)
    return {
        name: resize_flow(base, (size_of(flow, 2), size_of(flow, 3))) + flow
        for name, flow in rest.items()
    }
