"""Synthetic clips whose motion is known exactly: 4 motions x 3 appearances.

A clip is a textured plane, in part of the clips with a textured ellipse moving over it
independently. Both move at constant speed, symmetric in time about the middle of the
clip: there the frame shows the texture as it was drawn, so that a frame says nothing of
the motion. The appearance is the palette alone: the same random patterns are coloured
in one of three ways, so that motion says nothing of the appearance. The class of a clip
is (motion of the plane, appearance), and neither stream alone can name it.
"""

import math

from h2s_keras.data.synthetic.clip_stream import ClipStream

MOTIONS = ("translation", "zoom", "rotation", "shear")
APPEARANCES = ("ember", "meadow", "ocean")
CLASS_NAMES = tuple(f"{motion}/{look}" for motion in MOTIONS for look in APPEARANCES)

# Mean colour and the two directions along which patterns colour it, RGB 0..1.
_PALETTES = (
    ((0.62, 0.36, 0.24), (0.30, 0.26, 0.20), (0.16, -0.06, -0.10)),
    ((0.36, 0.58, 0.26), (0.22, 0.30, 0.20), (-0.08, 0.14, -0.10)),
    ((0.24, 0.38, 0.62), (0.20, 0.26, 0.30), (-0.10, -0.04, 0.16)),
)
_WAVES = 24


class SyntheticClips(ClipStream):
    """A reproducible, endless stream of clips with exact ground-truth flow.

    Clip `i` is a pure function of (seed, split, i), whatever the batch size or the
    number of parallel calls, so a stream can be continued anywhere.

    Args:
        num_frames: frames of a clip, at least 2.
        image_size: (height, width) in pixels.
        seed: seed of the whole stream.
        split: "train" or "test"; the two never share a clip.
        max_displacement: pixels per frame, of the fastest point of the plane, for a short
            side of 64 pixels; larger images move in proportion. Speeds are uniform from
            0.3 of it to all of it.
        foreground_probability: share of clips with an independently moving ellipse.
        motions: the motions to draw from, a subset of MOTIONS; labels keep counting
            over all.

    Raises:
        ValueError: for fewer than 2 frames, an image below 16 pixels, or unknown names.

    Example:
        >>> clips = SyntheticClips(num_frames=3, seed=1)
        >>> example = clips.example(0)
        >>> example["clip"].shape, example["flow"].shape
        ((3, 64, 64, 3), (2, 64, 64, 2))
    """

    class_names, title = CLASS_NAMES, "Synthetic clips"

    def __init__(
        self,
        num_frames=11,
        image_size=(64, 64),
        seed=0,
        split="train",
        max_displacement=8.5,
        foreground_probability=0.4,
        motions=MOTIONS,
    ):
        super().__init__(num_frames, image_size, seed, split)
        unknown = sorted(set(motions) - set(MOTIONS))
        if unknown or not motions:
            raise ValueError(f"motions must be among {MOTIONS}; received {motions!r}.")
        self.max_displacement = max_displacement
        self.foreground_probability = foreground_probability
        self.motions = tuple(motions)

    @property
    def kind(self):
        speed, share = self.max_displacement, self.foreground_probability
        return *super().kind, speed, share, self.motions

    def make(self, draw):
        """As `ClipStream.make`; also "motion", "appearance" (int32) and "foreground"."""
        tf = draw.tf
        motion_choices = tf.constant([MOTIONS.index(name) for name in self.motions])
        motion = motion_choices[draw.integer(len(self.motions))]
        appearance = draw.integer(len(APPEARANCES))
        palette = tf.gather(tf.constant(_PALETTES), appearance)

        height, width = self.image_size
        unit = min(height, width) / 64.0
        grid_y, grid_x = tf.meshgrid(
            tf.range(height, dtype=tf.float32),
            tf.range(width, dtype=tf.float32),
            indexing="ij",
        )
        points = tf.stack([grid_x, grid_y], axis=-1)
        centre = tf.constant([(width - 1) / 2, (height - 1) / 2], tf.float32)
        radius = math.hypot((width - 1) / 2, (height - 1) / 2)
        speed = draw.uniform(0.3, 1.0) * self.max_displacement * unit
        plane = _Layer(tf, draw, motion, speed, radius, centre, unit)

        has_foreground = draw.uniform() < self.foreground_probability
        place = centre + draw.uniform(-0.25, 0.25, (2,)) * tf.constant(
            [width, height], tf.float32
        )
        own_motion = draw.integer(len(MOTIONS))
        own_speed = draw.uniform(0.1, 0.7) * self.max_displacement * unit
        axes = draw.uniform(9.0, 17.0, (2,)) * unit
        ellipse = _Layer(tf, draw, own_motion, own_speed, 17.0 * unit, place, unit)

        frames, flows = [], []
        for frame in range(self.num_frames):
            time = frame - (self.num_frames - 1) / 2
            inside = ellipse.to_texture(points, time) / axes
            distance = tf.norm(inside, axis=-1, keepdims=True)
            # A soft edge about a pixel wide, so that the outline does not alias.
            cover = tf.clip_by_value((1.0 - distance) * tf.reduce_min(axes) + 0.5, 0, 1)
            cover = tf.where(has_foreground, cover, 0.0)
            behind = plane.paint(points, time, palette)
            front = ellipse.paint(points, time, palette)
            frames.append(behind + cover * (front - behind))
            flows.append(
                tf.where(
                    cover > 0.5,
                    ellipse.flow(points, time),
                    plane.flow(points, time),
                )
            )
        clip = tf.stack(frames) * 255.0
        clip += draw.normal(2.0, (self.num_frames, height, width, 3))
        return {
            "clip": tf.cast(tf.clip_by_value(tf.round(clip), 0, 255), tf.uint8),
            "flow": tf.stack(flows[:-1]),
            "label": motion * len(APPEARANCES) + appearance,
            "motion": motion,
            "appearance": appearance,
            "foreground": has_foreground,
        }


class _Layer:
    """A textured plane in uniform motion about `centre`: p(t) = c + G(t) u + v t."""

    def __init__(self, tf, draw, motion, speed, radius, centre, unit):
        self.tf, self.centre = tf, centre
        direction = draw.uniform(0.0, 2.0 * math.pi)
        heading = tf.stack([tf.cos(direction), tf.sin(direction)])
        sign = tf.where(draw.uniform() < 0.5, -1.0, 1.0)
        is_translation = motion == MOTIONS.index("translation")
        # Other motions drift a little too, so that no fixed point gives them away.
        drift = draw.uniform(0.0, 0.15) * speed
        self.velocity = tf.where(is_translation, speed, drift) * heading
        rate = sign * speed / radius
        self.motion, self.rate = motion, rate
        self.axis = draw.uniform(0.0, 2.0 * math.pi)
        self.waves = [_Waves(tf, draw, count, unit) for count in (_WAVES, _WAVES // 3)]

    def _matrix(self, time):
        """G(time), (2, 2); rates are chosen so that a corner moves `speed` a frame."""
        tf, amount = self.tf, self.rate * time
        cosine, sine = tf.cos(amount), tf.sin(amount)
        one, zero = tf.ones(()), tf.zeros(())
        turn_c, turn_s = tf.cos(self.axis), tf.sin(self.axis)
        turn = tf.stack([[turn_c, -turn_s], [turn_s, turn_c]])
        shear = tf.stack([[one, 1.6 * amount], [zero, one]])
        choices = [
            tf.eye(2),
            tf.exp(amount) * tf.eye(2),
            tf.stack([[cosine, -sine], [sine, cosine]]),
            turn @ shear @ tf.transpose(turn),
        ]
        return tf.gather(tf.stack(choices), self.motion)

    def _apply(self, matrix, vectors):
        return self.tf.einsum("ij,...j->...i", matrix, vectors)

    def to_texture(self, points, time):
        shifted = points - self.centre - self.velocity * time
        return self._apply(self._matrix(-time), shifted)

    def flow(self, points, time):
        """Where each point of the frame at `time` goes in one frame, minus the point."""
        shifted = points - self.centre - self.velocity * time
        moved = self._apply(self._matrix(1.0), shifted)
        return moved + self.velocity - shifted

    def paint(self, points, time, palette):
        texture = self.to_texture(points, time)
        light, tint = (waves.value(texture)[..., None] for waves in self.waves)
        return palette[0] + light * palette[1] + tint * palette[2]


class _Waves:
    """A smooth random pattern, about -1..1: plane waves of 5 to 40 pixels (1/f)."""

    def __init__(self, tf, draw, count, unit):
        self.tf, self.count = tf, count
        wavelength = tf.exp(draw.uniform(math.log(5.0), math.log(40.0), (count,))) * unit
        angle = draw.uniform(0.0, 2.0 * math.pi, (count,))
        frequency = 2.0 * math.pi / wavelength
        self.amplitude = tf.sqrt(wavelength)
        self.vectors = tf.stack([frequency * tf.cos(angle), frequency * tf.sin(angle)])
        self.phase = draw.uniform(0.0, 2.0 * math.pi, (count,))

    def value(self, points):
        waves = self.tf.cos(self.tf.tensordot(points, self.vectors, 1) + self.phase)
        energy = self.tf.reduce_sum(self.amplitude**2) / 2.0
        total = self.tf.tensordot(waves, self.amplitude, 1) / self.tf.sqrt(energy)
        return self.tf.tanh(total)
