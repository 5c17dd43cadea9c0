"""Layers as a camera films them: still backgrounds, flat and dark parts, thin things."""

import math

from h2s_keras.data.synthetic.layer_motion import MovingLayers


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
