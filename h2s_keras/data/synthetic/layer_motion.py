"""The layers of a synthetic clip, plain or as filmed: where each is, covers and shows."""

import math

# With the background; and of the bank of textures, how many and their side in pixels.
LAYERS, BANK, TEXTURE = 5, 96, 192


class MovingLayers:
    """All layers of a clip at once; the first axis of every tensor counts them.

    A layer's own coordinates u go to p(t) = c + v t + G(t) u, with G(t) a turn and a
    change of size.
    """

    count = LAYERS

    def __init__(self, tf, draw, clips):
        self.tf = tf
        self.texels = clips.texels(tf)
        height, width = clips.image_size
        short = min(height, width)
        most = clips.max_displacement
        size = tf.constant([width, height], tf.float32)
        # The camera moves everything, every shape adds a motion of its own.
        camera = 0.5 * most * draw.uniform() ** 1.5
        own = 0.5 * most * draw.uniform(shape=(self.count,))
        is_shape = tf.constant([0.0] + [1.0] * (self.count - 1))
        heading = draw.uniform(0.0, 2 * math.pi, (self.count + 1,))
        direction = tf.stack([tf.cos(heading), tf.sin(heading)], -1)
        self.velocity = camera * direction[0] + (is_shape * own)[:, None] * direction[1:]
        radius = short * draw.uniform(0.08, 0.35, (self.count,))
        reach = tf.concat([[0.7 * max(height, width)], radius[1:]], 0)
        change = 0.15 * most * draw.uniform(-1.0, 1.0, (2, self.count)) / reach
        # A small shape would spin: half a radian a frame is enough.
        self.turn, self.growth = tf.unstack(tf.clip_by_value(change, -0.5, 0.5))
        self.growth = tf.clip_by_value(self.growth, -0.1, 0.1)
        place = draw.uniform(-0.05, 1.05, (self.count, 2)) * size
        self.centre = tf.concat([size[None] / 2, place[1:]], 0)

        self.radius = radius
        self.ripples = draw.uniform(-0.18, 0.18, (3, self.count))
        self.phases = draw.uniform(0.0, 2 * math.pi, (3, self.count))
        self.present = draw.uniform(shape=(self.count,)) < 0.6

        self.texture = tf.stack([draw.integer(BANK) for _ in range(self.count)])
        angle = draw.uniform(0.0, 2 * math.pi, (self.count,))
        texels = tf.exp(draw.uniform(math.log(0.35), math.log(1.2), (self.count,)))
        self.on_texture = self._rotation(angle) * texels[:, None, None]
        self.offset = draw.uniform(0.0, float(TEXTURE), (self.count, 2))
        self.gain = draw.uniform(0.5, 1.2, (self.count, 3))
        self.shade = draw.uniform(-45.0, 45.0, (self.count, 3))

    def _rotation(self, angle):
        """Matrices (layers, 2, 2)."""
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
        first = TEXTURE * TEXTURE * self.texture[:, None, None]
        x, y = (
            [tf.math.floormod(low[..., axis] + step, TEXTURE) for step in (0, 1)]
            for axis in (0, 1)
        )
        corners = [
            self._colour(first + TEXTURE * y[down] + x[right])
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


class FilmedLayers(MovingLayers):
    """`MovingLayers` with the motion and the looks of ordinary video.

    In two of five clips the camera stands still: the flow of the background is exactly
    zero. Speeds are spread evenly over their logarithm, from a twentieth of a pixel up, and
    some shapes do not move at all. Shapes are large or small, round or up to eight times
    as long as wide. Some layers have hardly any texture, or are out of focus.
    """

    count = 8

    def __init__(self, tf, draw, clips):
        super().__init__(tf, draw, clips)
        count, most = self.count, clips.max_displacement
        short = min(clips.image_size)
        is_shape = tf.constant([0.0] + [1.0] * (count - 1))

        def chance(share, shape=()):
            return tf.cast(draw.uniform(shape=shape) < share, tf.float32)

        def logarithmic(low, high, shape=()):
            return tf.exp(draw.uniform(math.log(low), math.log(high), shape))

        films = 1.0 - chance(0.4)
        camera = films * logarithmic(0.05, 0.6 * most)
        own = logarithmic(0.05, most, (count,)) * chance(0.8, (count,)) * is_shape
        heading = draw.uniform(0.0, 2 * math.pi, (count + 1,))
        direction = tf.stack([tf.cos(heading), tf.sin(heading)], -1)
        self.velocity = camera * direction[0] + own[:, None] * direction[1:]
        # A still background neither turns nor grows, and still shapes do not on it.
        moves = tf.concat([[camera], own[1:]], 0)
        reach = tf.concat([[0.7 * max(clips.image_size)], self.radius[1:]], 0)
        change = 0.5 * moves * draw.uniform(-1.0, 1.0, (2, count)) / reach
        self.turn = tf.clip_by_value(change[0], -0.5, 0.5)
        self.growth = tf.clip_by_value(change[1], -0.1, 0.1)

        self.radius = short * logarithmic(0.03, 0.45, (count,))
        ratio = logarithmic(1.0, 8.0, (count,)) * chance(0.4, (count,))
        lean = self._rotation(draw.uniform(0.0, math.pi, (count,)))
        # Of equal area and as long as wide, or longer, in a direction of its own.
        ratio = tf.sqrt(tf.maximum(ratio, 1.0))
        self.width = tf.stack([1.0 / ratio, ratio], -1)
        self.lean = lean
        self.present = draw.uniform(shape=(count,)) < 0.6

        texels = logarithmic(0.2, 1.2, (count,))
        angle = draw.uniform(0.0, 2 * math.pi, (count,))
        self.on_texture = self._rotation(angle) * texels[:, None, None]
        faint = logarithmic(0.02, 0.5, (count,))
        contrast = tf.where(draw.uniform(shape=(count,)) < 0.2, faint, 1.0)
        self.gain *= contrast[:, None]
        self.shade += draw.uniform(-40.0, 40.0, (count, 1))

    def cover(self, inner):
        squeezed = self._apply(self.lean, inner) * self.width[:, None, None]
        # The narrow side is squeezed most: its edge would be as much sharper.
        return super().cover(squeezed)
