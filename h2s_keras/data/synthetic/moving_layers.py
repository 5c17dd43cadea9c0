"""Synthetic clips with the difficulties of real video, and exact flow.

A textured background and up to four shapes, each turning, growing and drifting in its
own way, hide and uncover each other; then blur, a change of light and noise. Unlike
`SyntheticClips` they have no classes: they teach and measure motion alone.
"""

import numpy as np

from h2s_keras.data.synthetic.clip_stream import ClipStream
from h2s_keras.data.synthetic.layer_motion import BANK, LAYERS, TEXTURE, MovingLayers
from h2s_keras.data.synthetic.stateless_draws import StatelessDraws

CLASS_NAMES = ("moving layers",)


class MovingLayerClips(ClipStream):
    """A reproducible, endless stream of clips of occluding layers with exact flow.

    Clip `i` is a pure function of (seed, split, i), as in `SyntheticClips`.

    Args:
        num_frames: frames of a clip, at least 2.
        image_size: (height, width) in pixels.
        seed: of the whole stream.
        split: "train" or "test"; the two share neither clips nor textures.
        max_displacement: pixels a frame that the fastest points of the fastest shapes
            move by, about; slow clips are more frequent than fast ones.
        degrade: blur, change of light and noise; False leaves the frames clean.
        pool: None, or the number of clips that are really made: to make one costs more than
            a small network needs to learn from it. The stream then shows them again
            mirrored, turned and with colours exchanged (48 ways), at random.

    Raises:
        ValueError: for fewer than 2 frames, an image below 16 pixels, or a pool of images
            that are not square.

    Example:
        >>> clips = MovingLayerClips(num_frames=2, seed=1)
        >>> example = clips.example(0)
        >>> example["clip"].shape, example["flow"].shape
        ((2, 64, 64, 3), (1, 64, 64, 2))
    """

    class_names, title = CLASS_NAMES, "Clips of moving layers"

    def __init__(
        self,
        num_frames=11,
        image_size=(64, 64),
        seed=0,
        split="train",
        max_displacement=8.0,
        degrade=True,
        pool=None,
    ):
        super().__init__(num_frames, image_size, seed, split)
        if pool and image_size[0] != image_size[1]:
            raise ValueError(
                f"Clips of a pool are turned and so square; received {tuple(image_size)}."
            )
        self.max_displacement, self.degrade = max_displacement, degrade
        self.pool = pool
        self._textures = self._texels = self._pool = self._guises = None

    @property
    def kind(self):
        # The textures follow from the seed.
        own = self.max_displacement, self.degrade, self.stream_seed
        return *super().kind, *own

    def make(self, draw):
        tf = draw.tf
        layers = MovingLayers(tf, draw, self)
        height, width = self.image_size
        x, y = tf.meshgrid(tf.range(width), tf.range(height))
        points = tf.cast(tf.stack([x, y], -1), tf.float32)
        frames, flows = [], []
        for frame in range(self.num_frames):
            time = frame - (self.num_frames - 1) / 2
            inner = layers.to_layer(points, time)
            cover = layers.cover(inner)
            colours = layers.paint(inner)
            moves = layers.flow(inner, points, time)
            picture, flow = colours[0], moves[0]
            for layer in range(1, LAYERS):
                share = cover[layer][..., None]
                picture += share * (colours[layer] - picture)
                flow = tf.where(share > 0.5, moves[layer], flow)
            frames.append(picture)
            flows.append(flow)
        clip = tf.stack(frames)
        if self.degrade:
            clip = _degrade(tf, draw, clip)
        return {
            "clip": tf.cast(tf.clip_by_value(tf.round(clip), 0, 255), tf.uint8),
            "flow": tf.stack(flows[:-1]),
            "label": tf.zeros((), tf.int32),
        }

    def training_examples(self, tf):
        """As they are, or of a pool its guises; those with flow for tests are made anew."""
        if not self.pool:
            return self.traced(tf)
        if self._guises is None:
            clips, flows = self._made(tf)
            number = tf.TensorSpec((), tf.int64)
            self._guises = tf.function(
                lambda index: self._guise(tf, clips, flows, index),
                [number],
                autograph=False,
            )
        return self._guises

    def _made(self, tf):
        """The clips of the pool and their flow, made once."""
        if self._pool is None:
            made = tf.data.Dataset.range(self.pool).map(self.traced(tf), 2).batch(64)
            batches = list(made.as_numpy_iterator())
            clips = np.concatenate([batch["clip"] for batch in batches])
            # Half precision is a hundredth of a pixel at 20 pixels, and half the memory.
            flow = np.concatenate([batch["flow"].astype("float16") for batch in batches])
            self._pool = tf.constant(clips), tf.constant(flow)
        return self._pool

    def _guise(self, tf, clips, flows, index):
        """One of the pool in one of its guises; which is a function of the number."""
        draw = StatelessDraws(tf, self.stream_seed + 7, index)
        number = draw.integer(self.pool)
        clip, flow = clips[number], tf.cast(flows[number], tf.float32)
        for axis, sign in ((2, (-1.0, 1.0)), (1, (1.0, -1.0))):
            mirror = draw.uniform() < 0.5
            clip = tf.where(mirror, tf.reverse(clip, [axis]), clip)
            flow = tf.where(mirror, tf.reverse(flow, [axis]) * sign, flow)
        turn = draw.uniform() < 0.5
        clip = tf.where(turn, tf.transpose(clip, (0, 2, 1, 3)), clip)
        turned = tf.reverse(tf.transpose(flow, (0, 2, 1, 3)), [-1])
        flow = tf.where(turn, turned, flow)
        clip = tf.gather(clip, tf.argsort(draw.uniform(shape=(3,))), axis=-1)
        return {"clip": clip, "flow": flow, "label": tf.zeros((), tf.int32)}

    @property
    def textures(self):
        """The bank that layers are painted from, uint8 (count, side, side, 3)."""
        if self._textures is None:
            from h2s_keras.data.synthetic.textures import texture_bank

            self._textures = texture_bank(BANK, TEXTURE, self.stream_seed)
        return self._textures

    def texels(self, tf):
        """All textures, int32 (count * side * side,), a colour in one number.

        Looked up as a whole it costs a third; as a tensor outside of every graph, graphs
        take it by reference and not as a constant of 14 MB.
        """
        if self._texels is None:
            red, green, blue = np.moveaxis(self.textures.astype(np.int32), -1, 0)
            with tf.init_scope():
                self._texels = tf.constant((red + 256 * green + 65536 * blue).ravel())
        return self._texels


def _degrade(tf, draw, clip):
    """Blur, then light that changes steadily, then noise; each in part of the clips."""
    frames = clip.shape[0]
    sigma = tf.maximum(draw.uniform(-1.0, 1.2), 0.05)
    taps = tf.range(-2.0, 3.0)
    kernel = tf.exp(-0.5 * (taps / sigma) ** 2)
    kernel /= tf.reduce_sum(kernel)
    across = tf.tile(kernel[None, :, None, None], (1, 1, 3, 1))
    padded = tf.pad(clip, ((0, 0), (2, 2), (2, 2), (0, 0)), "SYMMETRIC")
    blurred = tf.nn.depthwise_conv2d(padded, across, (1, 1, 1, 1), "VALID")
    down = tf.transpose(across, (1, 0, 2, 3))
    clip = tf.nn.depthwise_conv2d(blurred, down, (1, 1, 1, 1), "VALID")
    changes = tf.cast(draw.uniform() < 0.5, tf.float32)
    time = tf.range(frames, dtype=tf.float32)[:, None, None, None] - (frames - 1) / 2
    gain = changes * draw.uniform(-0.06, 0.06)
    offset = changes * draw.uniform(-8.0, 8.0)
    clip = clip * tf.exp(gain * time) + offset * time
    deviation = tf.maximum(draw.uniform(-2.0, 6.0), 0.0)
    return clip + deviation * draw.normal(1.0, clip.shape)
