"""Synthetic clips with the difficulties of real video, and exact flow.

A textured background and up to four shapes, each turning, growing and drifting in its
own way, hide and uncover each other; then blur, a change of light and noise. Unlike
`SyntheticClips` they have no classes: they teach and measure motion alone.
"""

import io

import numpy as np

from h2s_keras.data.clips.sampling import StatelessDraws
from h2s_keras.data.synthetic.clip_stream import ClipStream
from h2s_keras.data.synthetic.layer_motion import BANK, TEXTURE, FilmedLayers, MovingLayers

CLASS_NAMES = ("moving layers",)


class MovingLayerClips(ClipStream):
    """A reproducible, endless stream of clips of occluding layers with exact flow.

    Clip `i` is a pure function of (seed, split, i), as in `SyntheticClips`.

    Args:
        num_frames: frames of a clip, at least 2.
        image_size: (height, width) in pixels.
        seed: seed of the whole stream.
        split: "train" or "test"; the two share neither clips nor textures.
        max_displacement: pixels per frame that the fastest points of the fastest shapes
            move by, about; slow clips are more frequent than fast ones.
        degrade: blur, change of light and noise; False leaves the frames clean.
        pool: None, or the number of clips that are really made: to make one costs more than
            a small network needs to learn from it. The stream then shows them again
            mirrored, turned and with colours exchanged (48 ways), at random.
        filmed: share of clips that are as ordinary video (`FilmedLayers`): cameras that
            stand still, parts without texture, thin things, darkness, and in three of five
            of them what a codec leaves (`through_codec`). Small motions are frequent there.

    Raises:
        ValueError: for fewer than 2 frames, an image below 16 pixels, a pool of images that
            are not square, or a share that is not from 0 to 1.

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
        filmed=0.0,
    ):
        super().__init__(num_frames, image_size, seed, split)
        if pool and image_size[0] != image_size[1]:
            raise ValueError(
                f"Clips of a pool are turned and so square; received {tuple(image_size)}."
            )
        if not 0.0 <= filmed <= 1.0:
            raise ValueError(f"filmed is a share, 0 to 1; received {filmed!r}.")
        self.max_displacement, self.degrade = max_displacement, degrade
        self.pool, self.filmed = pool, filmed
        self._textures = self._texels = self._pool = self._augmented = None

    @property
    def kind(self):
        # The textures follow from the seed.
        own = self.max_displacement, self.degrade, self.stream_seed, self.filmed
        return *super().kind, *own

    def make(self, draw):
        tf = draw.tf
        if self.filmed in (0, 1):
            clip, flow = self._filmed(draw) if self.filmed else self._plain(draw)
        else:
            clip, flow = tf.cond(
                draw.uniform() < self.filmed,
                lambda: self._filmed(draw),
                lambda: self._plain(draw),
            )
        return {"clip": clip, "flow": flow, "label": tf.zeros((), tf.int32)}

    def _plain(self, draw):
        clip, flow = self._frames(MovingLayers(draw.tf, draw, self), self.num_frames)
        if self.degrade:
            clip = _degrade(draw.tf, draw, clip)
        return _bytes(draw.tf, clip), flow

    def _filmed(self, draw):
        tf = draw.tf
        # A frame more, so that not always the first one is that a codec begins with.
        layers = FilmedLayers(tf, draw, self)
        clip, flow = self._frames(layers, self.num_frames + 1)
        if self.degrade:
            clip = _degrade(tf, draw, _darken(tf, draw, clip))
        clip = _bytes(tf, clip)
        if self.degrade:
            clip = _encode(tf, draw, clip)
        first = draw.integer(2)
        clip = clip[first : first + self.num_frames]
        flow = flow[first : first + self.num_frames - 1]
        size = self.image_size
        clip = tf.ensure_shape(clip, (self.num_frames, *size, 3))
        return clip, tf.ensure_shape(flow, (self.num_frames - 1, *size, 2))

    def _frames(self, layers, count):
        """(frames, flow between them) as floats, with nothing lost."""
        tf = layers.tf
        height, width = self.image_size
        x, y = tf.meshgrid(tf.range(width), tf.range(height))
        points = tf.cast(tf.stack([x, y], -1), tf.float32)
        frames, flows = [], []
        for frame in range(count):
            time = frame - (count - 1) / 2
            inner = layers.to_layer(points, time)
            cover = layers.cover(inner)
            colours = layers.paint(inner)
            moves = layers.flow(inner, points, time)
            picture, flow = colours[0], moves[0]
            for layer in range(1, layers.count):
                share = cover[layer][..., None]
                picture += share * (colours[layer] - picture)
                flow = tf.where(share > 0.5, moves[layer], flow)
            frames.append(picture)
            flows.append(flow)
        return tf.stack(frames), tf.stack(flows[:-1])

    def training_examples(self, tf):
        """As they are, or augmented ones of a pool; those with flow for tests are new."""
        if not self.pool:
            return self.traced(tf)
        if self._augmented is None:
            clips, flows = self._made(tf)
            number = tf.TensorSpec((), tf.int64)
            self._augmented = tf.function(
                lambda index: self._augment(tf, clips, flows, index),
                [number],
                autograph=False,
            )
        return self._augmented

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

    def _augment(self, tf, clips, flows, index):
        """One of the pool, augmented; which one and how is a function of the number."""
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


def _bytes(tf, clip):
    return tf.cast(tf.clip_by_value(tf.round(clip), 0, 255), tf.uint8)


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


def _darken(tf, draw, clip):
    """Less light in a fifth of the clips, less contrast in a quarter."""
    dark = tf.exp(tf.minimum(draw.uniform(-1.8, 7.2), 0.0))
    flat = tf.exp(tf.minimum(draw.uniform(-1.5, 4.5), 0.0))
    return dark * (128.0 + flat * (clip - 128.0))


def _encode(tf, draw, clip):
    """Two of five stay as they are; the others go through a codec, more often finely."""
    codec, coarseness = draw.integer(len(CODECS)), draw.uniform() ** 2
    offset = tf.stack([draw.integer(16), draw.integer(16)])

    def encoded():
        coded = tf.numpy_function(
            through_codec, [clip, codec, coarseness, offset], tf.uint8, stateful=False
        )
        return tf.ensure_shape(coded, clip.shape)

    return tf.cond(draw.uniform() < 0.6, encoded, lambda: clip)


def texture_bank(count, size, seed):
    """Periodic colour textures.

    Half are 1/f noise alone, half a mosaic of regions with sharp outlines and noise on
    top: photographs have both, and flow needs both to learn from.

    Args:
        count: number of textures.
        size: side in pixels.
        seed: int; the same seed gives the same bytes on every machine with one NumPy.

    Returns:
        uint8 (count, size, size, 3), RGB.

    Example:

    ```python
    texture_bank(4, 64, seed=1).shape       # (4, 64, 64, 3)
    ```

    Reference: amplitude 1/f of natural images, Field 1987.
    """
    generator = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size) * size] * 2))
    frequency[0, 0] = 1.0

    def noise(exponent):
        """A field of mean 0 and deviation 1."""
        white = np.fft.fft2(generator.normal(size=(size, size)))
        field = np.fft.ifft2(white / frequency**exponent).real
        return (field - field.mean()) / field.std()

    textures = np.empty((count, size, size, 3), np.uint8)
    for number in range(count):
        light = noise(generator.uniform(0.8, 1.4))
        tint = noise(generator.uniform(1.0, 1.6))
        direction = generator.normal(size=3)
        direction -= direction.mean()
        direction /= np.linalg.norm(direction)
        colour = light[..., None] + 0.7 * tint[..., None] * direction
        if number % 2:
            colour = 0.35 * colour + _mosaic(noise(generator.uniform(1.3, 1.9)), generator)
        deviation = generator.uniform(25.0, 60.0)
        colour = 128.0 + deviation * colour / colour.std()
        textures[number] = np.clip(np.rint(colour), 0, 255)
    return textures


def _mosaic(field, generator):
    """Regions between level lines of a field, each of one colour."""
    regions = int(generator.integers(3, 9))
    borders = np.quantile(field, np.sort(generator.uniform(0.05, 0.95, regions - 1)))
    return generator.normal(size=(regions, 3))[np.digitize(field, borders)]


# The encoder, its container, and the range of its quality setting, fine to coarse: from
# barely visible to blocks that swim.
CODECS = (
    ("libx264", "mp4", 18, 38),
    ("mpeg4", "avi", 2, 16),
    ("mjpeg", "avi", 2, 20),
)


def through_codec(frames, codec, coarseness, offset=(0, 0)):
    """The frames as they come back from a video file.

    Args:
        frames: uint8 (time, height, width, 3) RGB.
        codec: number of an entry of CODECS.
        coarseness: 0..1, from the finest to the coarsest quality of that codec.
        offset: (rows, columns), 0..15: where the frames lie on the grid of 16-pixel blocks.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: FFmpeg was built without that encoder.

    Example:

    ```python
    through_codec(clip, 0, 0.5).shape == clip.shape     # H.264 of medium quality
    ```
    """
    import av

    name, container, finest, coarsest = CODECS[codec]
    quality = round(finest + coarseness * (coarsest - finest))
    time, height, width, _ = frames.shape
    above, left = (int(side) for side in offset)
    # Whole blocks, so that no codec pads in a way of its own.
    below, right = -(above + height) % 16, -(left + width) % 16
    frames = np.pad(frames, ((0, 0), (above, below), (left, right), (0, 0)), mode="edge")
    if name == "libx264":
        options = {"crf": str(quality), "preset": "veryfast", "tune": "zerolatency"}
    else:
        options = {"qmin": str(quality), "qmax": str(quality), "flags": "+qscale"}
        options["global_quality"] = str(quality * 118)
    memory = io.BytesIO()
    try:
        with av.open(memory, "w", format=container) as file:
            stream = file.add_stream(name, rate=25, options=options)
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuvj420p" if name == "mjpeg" else "yuv420p"
            stream.codec_context.thread_count = 1
            for picture in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    except av.codec.codec.UnknownCodecError:
        raise ValueError(f"FFmpeg has no encoder {name!r}") from None
    memory.seek(0)
    with av.open(memory) as file:
        decoded = [picture.to_ndarray(format="rgb24") for picture in file.decode(video=0)]
    if len(decoded) != time:
        raise ValueError(f"{name} gave {len(decoded)} of {time} frames back")
    return np.stack(decoded)[:, above : above + height, left : left + width]
