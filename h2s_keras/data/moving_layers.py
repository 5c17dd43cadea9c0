"""Synthetic clips with the difficulties of real video, and exact flow.

A textured background and up to four shapes, each turning, growing and drifting in its
own way, hide and uncover each other; then blur, a change of light and noise. Unlike
`SyntheticClips` they have no classes: they teach and measure motion alone.
"""

import math

import numpy as np

from h2s_keras.data.clip_stream import ClipStream
from h2s_keras.data.stateless_draws import StatelessDraws

CLASS_NAMES = ("moving layers",)
_LAYERS = 5  # with the background
_BANK, _TEXTURE = 96, 192


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
        self._textures = self._pool = self._guises = None

    @property
    def kind(self):
        # The textures follow from the seed.
        own = self.max_displacement, self.degrade, self.stream_seed
        return *super().kind, *own

    def make(self, draw):
        tf = draw.tf
        layers = _MovingLayers(tf, draw, self)
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
            for layer in range(1, _LAYERS):
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
            from h2s_keras.data.textures import texture_bank

            self._textures = texture_bank(_BANK, _TEXTURE, self.stream_seed)
        return self._textures


class _MovingLayers:
    """All layers of a clip at once; the first axis of every tensor counts them.

    A layer's own coordinates u go to p(t) = c + v t + G(t) u, with G(t) a turn and a
    change of size.
    """

    def __init__(self, tf, draw, clips):
        self.tf = tf
        # A texel in one number: looked up as a whole it costs a third.
        red, green, blue = np.moveaxis(clips.textures.astype(np.int32), -1, 0)
        self.texels = tf.constant((red + 256 * green + 65536 * blue).ravel())
        height, width = clips.image_size
        short = min(height, width)
        most = clips.max_displacement
        size = tf.constant([width, height], tf.float32)
        # The camera moves everything, every shape adds a motion of its own.
        camera = 0.5 * most * draw.uniform() ** 1.5
        own = 0.5 * most * draw.uniform(shape=(_LAYERS,))
        is_shape = tf.constant([0.0] + [1.0] * (_LAYERS - 1))
        heading = draw.uniform(0.0, 2 * math.pi, (_LAYERS + 1,))
        direction = tf.stack([tf.cos(heading), tf.sin(heading)], -1)
        self.velocity = camera * direction[0] + (is_shape * own)[:, None] * direction[1:]
        radius = short * draw.uniform(0.08, 0.35, (_LAYERS,))
        reach = tf.concat([[0.7 * max(height, width)], radius[1:]], 0)
        change = 0.15 * most * draw.uniform(-1.0, 1.0, (2, _LAYERS)) / reach
        # A small shape would spin: half a radian a frame is enough.
        self.turn, self.growth = tf.unstack(tf.clip_by_value(change, -0.5, 0.5))
        self.growth = tf.clip_by_value(self.growth, -0.1, 0.1)
        place = draw.uniform(-0.05, 1.05, (_LAYERS, 2)) * size
        self.centre = tf.concat([size[None] / 2, place[1:]], 0)

        self.radius = radius
        self.ripples = draw.uniform(-0.18, 0.18, (3, _LAYERS))
        self.phases = draw.uniform(0.0, 2 * math.pi, (3, _LAYERS))
        self.present = draw.uniform(shape=(_LAYERS,)) < 0.6

        self.texture = tf.stack([draw.integer(_BANK) for _ in range(_LAYERS)])
        angle = draw.uniform(0.0, 2 * math.pi, (_LAYERS,))
        texels = tf.exp(draw.uniform(math.log(0.35), math.log(1.2), (_LAYERS,)))
        self.on_texture = self._rotation(angle) * texels[:, None, None]
        self.offset = draw.uniform(0.0, float(_TEXTURE), (_LAYERS, 2))
        self.gain = draw.uniform(0.5, 1.2, (_LAYERS, 3))
        self.shade = draw.uniform(-45.0, 45.0, (_LAYERS, 3))

    def _rotation(self, angle):
        """(layers, 2, 2)"""
        tf = self.tf
        cosine, sine = tf.cos(angle), tf.sin(angle)
        rows = [tf.stack([cosine, -sine], -1), tf.stack([sine, cosine], -1)]
        return tf.stack(rows, -2)

    def _matrix(self, time):
        size = self.tf.exp(self.growth * time)
        return self._rotation(self.turn * time) * size[:, None, None]

    def _apply(self, matrices, vectors):
        """(layers, 2, 2) times (layers, height, width, 2), without 2x2 products."""
        x, y = self.tf.unstack(vectors, axis=-1)
        a = matrices[:, None, None]
        rows = [a[..., row, 0] * x + a[..., row, 1] * y for row in (0, 1)]
        return self.tf.stack(rows, -1)

    def to_layer(self, points, time):
        """Own coordinates (layers, height, width, 2) of the pixels of a frame."""
        inverse = self._rotation(-self.turn * time)
        inverse *= self.tf.exp(-self.growth * time)[:, None, None]
        origin = self.centre + self.velocity * time
        return self._apply(inverse, points[None] - origin[:, None, None])

    def flow(self, inner, points, time):
        later = self.centre + self.velocity * (time + 1)
        moved = self._apply(self._matrix(time + 1), inner) + later[:, None, None]
        return moved - points[None]

    def cover(self, inner):
        """Share of each pixel that a shape covers, (layers, height, width)."""
        tf = self.tf
        distance = tf.norm(inner, axis=-1)
        cosine, sine = tf.unstack(inner / (distance[..., None] + 1e-6), axis=-1)
        # Ripples cos(n angle + phase) for n = 2, 3, 4, by the rule for sums of angles.
        real, imaginary, outline = cosine, sine, 1.0
        for size, phase in zip(
            tf.unstack(self.ripples), tf.unstack(self.phases), strict=True
        ):
            real, imaginary = (
                real * cosine - imaginary * sine,
                imaginary * cosine + real * sine,
            )
            size, phase = size[:, None, None], phase[:, None, None]
            outline += size * (tf.cos(phase) * real - tf.sin(phase) * imaginary)
        # A soft edge a pixel wide, so that the outline does not alias.
        inside = self.radius[:, None, None] * outline - distance + 0.5
        inside = tf.clip_by_value(inside, 0.0, 1.0)
        return tf.where(self.present[:, None, None], inside, 0.0)

    def paint(self, inner):
        """Colours (layers, height, width, 3), 0..255, of bilinear, periodic look-ups."""
        tf = self.tf
        place = self._apply(self.on_texture, inner) + self.offset[:, None, None]
        low = tf.floor(place)
        share = place - low
        low = tf.cast(low, tf.int32)
        first = _TEXTURE * _TEXTURE * self.texture[:, None, None]
        x, y = (
            [tf.math.floormod(low[..., axis] + step, _TEXTURE) for step in (0, 1)]
            for axis in (0, 1)
        )
        corners = [
            self._colour(first + _TEXTURE * y[down] + x[right])
            for down in (0, 1)
            for right in (0, 1)
        ]
        right, down = share[..., :1], share[..., 1:]
        upper = corners[0] + right * (corners[1] - corners[0])
        lower = corners[2] + right * (corners[3] - corners[2])
        total = upper + down * (lower - upper)
        colour = (total - 128.0) * self.gain[:, None, None] + 128.0
        return tf.clip_by_value(colour + self.shade[:, None, None], 0.0, 255.0)

    def _colour(self, index):
        tf = self.tf
        texel = tf.gather(self.texels, index)
        parts = [tf.bitwise.bitwise_and(texel, 255)]
        parts += [tf.bitwise.bitwise_and(tf.bitwise.right_shift(texel, 8), 255)]
        parts += [tf.bitwise.right_shift(texel, 16)]
        return tf.cast(tf.stack(parts, -1), tf.float32)


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
