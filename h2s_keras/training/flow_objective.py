"""What MotionNet is asked for in training: its passes over a clip, and their loss."""

import math

import keras
from keras import ops

from h2s_keras.errors import UserError
from h2s_keras.layers.mixed_flow_loss import MixedFlowLoss
from h2s_keras.layers.supervised_flow_loss import SupervisedFlowLoss
from h2s_keras.models.coarse_to_fine import refined_flows
from h2s_keras.ops.charbonnier import charbonnier
from h2s_keras.ops.flow import (
    channels_to_clip,
    clip_to_channels,
    resize_flow,
    size_of,
)
from h2s_keras.ops.resize import resize_bilinear
from h2s_keras.ops.smoothness import masked_mean

# Extra outputs of a training pass, beside "flow2" ... of the clip itself.
BACKWARD, STUDENT, REFINED = "backward_", "student_", "refined_"
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@keras.saving.register_keras_serializable(package="h2s_keras")
class FlowObjective(keras.layers.Layer):
    """The loss of flow with everything around it: more passes, ramps and a margin.

    Args:
        loss: UnsupervisedFlowLoss; with its `occlusion` the clip is also seen backwards.
            Or SupervisedFlowLoss, for clips whose flow is known: ramps are then of no use.
            Or MixedFlowLoss, for batches of both.
        smoothness_ramp: batches over which the smoothness term grows geometrically from
            `smoothness_start` of its weight. MotionNet does not leave zero flow sooner by
            it (320 steps, and 300 without; docs/results.md).
        occlusion_start: batches before occlusion masks count; the masks of a network that
            knows nothing are noise.
        margin: pixels that are cut off the clips on every side before MotionNet sees them,
            while the warp still reads them.
        self_supervision_weight: factor on the distance between flow of the whole clip,
            taken as given, and flow of the clip with `self_supervision_crop` pixels cut
            off every side, enlarged again, in other light. It teaches flow near the
            border, from flow that saw beyond it.
        self_supervision_start: batches before that.
        refinement: passes of a MotionNet with `coarse_to_fine` over clips of 2 frames: at
            half their size, then at full size with the second frame warped by what the
            first found; all count alike. So the network learns what each of its passes
            needs to know; without it the loss is that of the last pass alone. An int for
            that many halvings: with 2 it starts at a quarter of the size.

    Raises:
        ValueError: for `refinement` together with occlusion or self-supervision, which
            would need these passes at every size; for a margin with true flow, which would
            be taken for that of the cut clips.

    Reference: arXiv 1704.00389, equations 1 to 4; occlusion Meister et al. 2018; second
    pass Liu et al. 2019 (SelFlow) and Jonschkowski et al. 2020 (UFlow), section 4.4; margin
    Stone et al. 2021 (SMURF), section 3.2. The second pass differs from theirs in its mask:
    it compares every pixel. UFlow compares those where flow forth and back agree for the
    whole clip and disagree for the crop, SelFlow those that only the second pass hides;
    both need two more passes. The penalty is Charbonnier's with alpha 0.45, UFlow's 0.5.
    """

    def __init__(
        self,
        loss,
        smoothness_ramp=0,
        smoothness_start=0.1,
        occlusion_start=0,
        margin=0,
        self_supervision_weight=0.0,
        self_supervision_start=0,
        self_supervision_crop=8,
        refinement=False,
        **kwargs,
    ):
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        self.loss = loss
        self.smoothness_ramp, self.smoothness_start = smoothness_ramp, smoothness_start
        self.occlusion_start, self.margin = occlusion_start, margin
        self.self_supervision_weight = self_supervision_weight
        self.self_supervision_start = self_supervision_start
        self.self_supervision_crop = self_supervision_crop
        self.refinement = int(refinement)
        if self.refinement < 0:
            raise ValueError(f"refinement must be 0 or more; received {refinement!r}.")
        if refinement and (loss.occlusion or self_supervision_weight):
            raise ValueError("refinement goes without occlusion and self-supervision.")
        if int(self_supervision_crop) != self_supervision_crop or self_supervision_crop < 0:
            raise ValueError(
                "self_supervision_crop takes a whole number of pixels from 0; received "
                f"{self_supervision_crop!r}."
            )
        if margin and self.supervised:
            raise ValueError("True flow lies on the whole clips: leave the margin out.")
        self.built = True

    @property
    def supervised(self):
        """Whether `evaluate` needs true flow."""
        return isinstance(self.loss, (SupervisedFlowLoss, MixedFlowLoss))

    @property
    def terms(self):
        """Names of the terms that `evaluate` gives, without "total"."""
        if self.self_supervision_weight:
            return (*self.loss.terms, "self_supervision")
        return self.loss.terms

    def visible_clips(self, clips):
        """What the network sees: clips (batch, time, height, width, 3) without margin."""
        cut = self.margin
        return clips[:, :, cut:-cut, cut:-cut] if cut else clips

    def first_view(self, clips):
        """What the first pass sees of visible clips: all, or the smallest size."""
        return _halved(clips, self.refinement)

    def extra_passes(self, motion, clips, flows, step):
        """Outputs of the further passes of a training step, by name.

        Args:
            motion: MotionNet, or anything that maps clips to flows.
            clips: the visible clips.
            flows: what it made of the first view of them.
            step: scalar, batches done.
        """
        outputs = {}
        if self.loss.occlusion is not None:
            backward = clip_flows(motion, ops.flip(clips, axis=1), training=True)
            outputs.update({BACKWARD + name: flow for name, flow in backward.items()})
        if self.self_supervision_weight:
            student = clip_flows(motion, self._student_clips(clips, step), training=True)
            outputs[STUDENT + "flow2"] = student["flow2"]
        for halvings in reversed(range(self.refinement)):
            flows = refined_flows(
                lambda pairs: motion.single_pass(pairs, training=True),
                _halved(clips, halvings),
                flows,
            )
            prefix = _refined_prefix(halvings)
            outputs.update({prefix + name: flow for name, flow in flows.items()})
        return outputs

    def _student_clips(self, clips, step):
        """The middle of the clips at full size, in other light."""
        height, width = size_of(clips, 2), size_of(clips, 3)
        cut = self.self_supervision_crop
        for side in (height, width):
            if isinstance(side, int) and 2 * cut >= side:
                raise UserError(
                    f"self_supervision_crop: {cut} pixels cut from every side leave "
                    f"nothing of clips of {height}x{width}; cut less"
                )
        middle = clips[:, :, cut : height - cut, cut : width - cut]
        enlarged = _resized(middle, (height, width))
        # A sequence instead of random numbers: a resumed run repeats it.
        rows = ops.cast(ops.arange(ops.shape(clips)[0]), "float32")
        place = (rows + 13.0 * ops.cast(step, "float32")) * _GOLDEN
        gain = 0.8 + 0.4 * (place - ops.floor(place))
        offset = 20.0 * ops.sin(2.0 * math.pi * _GOLDEN * place)
        shape = (-1, 1, 1, 1, 1)
        changed = (enlarged - 128.0) * ops.reshape(gain, shape) + 128.0
        return ops.clip(changed + ops.reshape(offset, shape), 0.0, 255.0)

    def evaluate(self, clips, outputs, step=None, truth=None):
        """Loss terms of a batch.

        Args:
            clips: (batch, time, height, width, 3) RGB 0..255, with the margin.
            outputs: outputs of the network on the first view, and of `extra_passes`.
            step: scalar, batches done; None: every ramp is over.
            truth: true flow (batch, time-1, height, width, 2) for a supervised loss, NaN
                for clips without it where the loss is mixed.

        Returns:
            dict of `terms` and "total", each float32 (batch,).
        """
        flows = _named(outputs, "")
        passes = [self._loss(clips, flows, outputs, step, truth, self.refinement)]
        for halvings in reversed(range(self.refinement)):
            refined = _named(outputs, _refined_prefix(halvings))
            # Outside of training there is the first pass alone.
            if refined:
                passes.append(self._loss(clips, refined, outputs, step, truth, halvings))
        terms = {
            name: sum(terms[name] for terms in passes) / len(passes) for name in passes[0]
        }
        if self.self_supervision_weight:
            if STUDENT + "flow2" in outputs:
                distance = self._student_distance(
                    flows["flow2"],
                    outputs[STUDENT + "flow2"],
                    size_of(clips, 2) - 2 * self.margin,
                )
            else:
                distance = ops.zeros_like(terms["total"])
            weight = self.self_supervision_weight * self._begun(
                step, self.self_supervision_start
            )
            terms["self_supervision"] = weight * distance
            terms["total"] = terms["total"] + terms["self_supervision"]
        return terms

    def _loss(self, clips, flows, outputs, step, truth, halvings=0):
        """Terms of flows on the clips at their size, or halved some times."""
        if self.supervised and halvings:
            size = [size_of(truth, axis) >> halvings for axis in (2, 3)]
            truth = resize_flow(truth, size)
        if isinstance(self.loss, SupervisedFlowLoss):
            return self.loss(truth, flows)
        options = {
            "smoothness_scale": self._smoothness_scale(step),
            "backward_flows": _named(outputs, BACKWARD) or None,
            "occlusion_scale": self._begun(step, self.occlusion_start),
        }
        clips = _halved(clips, halvings)
        if self.supervised:
            return self.loss(clips, truth, flows, **options)
        return self.loss(clips, flows, margin=self.margin >> halvings, **options)

    def _student_distance(self, teacher, student, clip_height):
        """Charbonnier distance between student and the middle of teacher, (batch,)."""
        height, width = size_of(teacher, 2), size_of(teacher, 3)
        cut = self.self_supervision_crop * height // clip_height
        lost = self.self_supervision_crop * height % clip_height
        # Of half a pixel student and teacher would lie beside each other.
        if isinstance(lost, int) and lost:
            raise UserError(
                f"self_supervision_crop: {self.self_supervision_crop} pixels of the clip "
                "are not whole pixels of its flow; take a multiple of "
                f"{clip_height // height}"
            )
        middle = ops.stop_gradient(teacher[:, :, cut : height - cut, cut : width - cut])
        target = resize_flow(middle, (height, width))
        flat = ops.reshape(student - target, (-1, height, width, 2))
        distance = masked_mean(charbonnier(flat, alpha=0.45))
        return ops.mean(ops.reshape(distance, (-1, teacher.shape[1])), axis=1)

    def _smoothness_scale(self, step):
        if not self.smoothness_ramp or step is None:
            return 1.0
        done = ops.clip(ops.cast(step, "float32") / self.smoothness_ramp, 0.0, 1.0)
        # Geometric: it stays small until the warp has begun to match.
        return ops.power(self.smoothness_start, 1.0 - done)

    @staticmethod
    def _begun(step, start):
        return 1.0 if step is None or not start else ops.cast(step >= start, "float32")

    def get_config(self):
        return {
            **super().get_config(),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "smoothness_ramp": self.smoothness_ramp,
            "smoothness_start": self.smoothness_start,
            "occlusion_start": self.occlusion_start,
            "margin": self.margin,
            "self_supervision_weight": self.self_supervision_weight,
            "self_supervision_start": self.self_supervision_start,
            "self_supervision_crop": self.self_supervision_crop,
            "refinement": self.refinement,
        }

    @classmethod
    def from_config(cls, config):
        loss = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**{**config, "loss": loss})


def clip_flows(motion, clips, training=None):
    """Flows of clips; with a coarse-to-fine MotionNet clips of any number of frames."""
    if getattr(motion, "coarse_to_fine", False):
        return motion.flows_of_pairs(clips, training=training)
    return motion(clips, training=training)


def _named(outputs, prefix):
    """The flows whose names begin so, by their plain names."""
    return {
        name.removeprefix(prefix): flow
        for name, flow in outputs.items()
        if name.startswith(prefix + "flow")
    }


def _resized(clips, size):
    """Clips (batch, time, height, width, 3) of another size, float32."""
    channels = resize_bilinear(clip_to_channels(ops.cast(clips, "float32")), size)
    return channels_to_clip(channels, clips.shape[1])


def _halved(clips, times):
    if not times:
        return clips
    return _resized(clips, [size_of(clips, axis) >> times for axis in (2, 3)])


def _refined_prefix(halvings):
    return f"refined{halvings}_" if halvings else REFINED
