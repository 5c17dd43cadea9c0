import keras
from keras import ops

from h2s_keras.layers.segment_consensus import SegmentConsensus
from h2s_keras.models.motion_net import motion_net_of
from h2s_keras.training.flow_objective import FlowObjective
from h2s_keras.training.replicas import sum_over_replicas


@keras.saving.register_keras_serializable(package="h2s_keras")
class StageModel(keras.Model):
    """One training stage of a hidden two-stream network, for plain `compile` and `fit`.

    It runs only the streams that the stage needs and adds the unsupervised loss of
    MotionNet to the action loss. The step itself is Keras' own, so it runs on every
    backend and under every strategy.

    Args:
        network: a HiddenTwoStream model, or a MotionNet for the motion stage alone.
        streams: what to run, of "motion", "temporal", "spatial".
        flow_loss: an UnsupervisedFlowLoss (or SupervisedFlowLoss, for the stage "motion"
            alone), or None to learn from actions only.
        flow_loss_weight: factor on the whole unsupervised loss.
        action_loss_weight: factor on the action loss.
        label_smoothing: of the action loss.
        smoothness_ramp, smoothness_start: of `FlowObjective`, in batches.
        flow_options: dict of its other arguments, or None.
        consensus: mode of `SegmentConsensus` over the segments of a video.

    Call arguments:
        clips: (batch, time, height, width, 3) RGB 0..255, any dtype; or (batch, segments,
            time, height, width, 3), whose logits are joined by the consensus.

    Targets of `fit`:
        labels: int (batch,); unused by the motion stage, which with a SupervisedFlowLoss
            takes true flow (batch, time-1, height, width, 2) in their place.

    Raises:
        ValueError: for an unknown stream, or a stage that would learn nothing.

    Source: arXiv 1704.00389, sections 3.3 and 4.1.
    """

    def __init__(
        self,
        network,
        streams=("temporal",),
        flow_loss=None,
        flow_loss_weight=1.0,
        action_loss_weight=1.0,
        label_smoothing=0.0,
        smoothness_ramp=0,
        smoothness_start=0.02,
        flow_options=None,
        consensus="average",
        **kwargs,
    ):
        super().__init__(**kwargs)
        unknown = set(streams) - {"motion", "temporal", "spatial"}
        if unknown or not streams:
            raise ValueError(
                "streams must be among 'motion', 'temporal', 'spatial'; received "
                f"{tuple(streams)}."
            )
        self.network, self.streams = network, tuple(streams)
        self.flow_loss, self.flow_loss_weight = flow_loss, flow_loss_weight
        self.action_loss_weight = action_loss_weight
        self.label_smoothing = label_smoothing
        self.smoothness_ramp, self.smoothness_start = smoothness_ramp, smoothness_start
        self.flow_options = dict(flow_options or {})
        self.flow_objective = None
        if flow_loss is not None:
            self.flow_objective = FlowObjective(
                flow_loss, smoothness_ramp, smoothness_start, **self.flow_options
            )
            if self.flow_objective.supervised and self.streams != ("motion",):
                raise ValueError(
                    "SupervisedFlowLoss takes true flow in the place of labels and so goes "
                    f"with the stream 'motion' alone; received {self.streams}."
                )
        elif flow_options:
            raise ValueError(f"flow_options without flow_loss: {sorted(flow_options)}.")
        # The logits are float32 under every policy, and so is what the loss gets.
        self.consensus = SegmentConsensus(consensus, dtype="float32")
        self.action_outputs = [
            f"{name}_logits" for name in self.streams if name != "motion"
        ]
        if flow_loss is None and not self.action_outputs:
            raise ValueError(
                "A motion stage learns from the unsupervised loss only; pass flow_loss."
            )
        names = [] if flow_loss is None else self.flow_objective.terms
        self.term_trackers = {name: keras.metrics.Mean(name=name) for name in names}
        if self.action_outputs:
            self.term_trackers["action"] = keras.metrics.Mean(name="action")
            self.accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        # The optimiser's own counter is out of reach inside a JAX step.
        self.step_counter = self._counter("step_counter")
        # How often the non-finite guard has halved the rate; saved with the state.
        self.halvings = self._counter("halvings")
        self.built = True

    def _counter(self, name):
        return self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="int32",
            trainable=False,
            aggregation="only_first_replica",
            name=name,
        )

    def call(self, clips, training=None):
        segments = clips.shape[1] if len(clips.shape) == 6 else None
        clips = _fold_segments(clips)
        if self.flow_objective is not None:
            visible = self.flow_objective.visible_clips(clips)
            clips = self.flow_objective.first_view(visible)
        if self.flow_objective is not None and self.flow_objective.refinement:
            outputs = motion_net_of(self.network).single_pass(clips, training=training)
        elif hasattr(self.network, "run_streams"):
            outputs = self.network.run_streams(clips, self.streams, training=training)
        else:
            outputs = self.network(clips, training=training)
        if training and self.flow_objective is not None:
            motion = motion_net_of(self.network)
            flows = {k: v for k, v in outputs.items() if k.startswith("flow")}
            outputs.update(
                self.flow_objective.extra_passes(motion, visible, flows, self.step_counter)
            )
        if segments is None:
            return outputs
        for name in self.action_outputs:
            classes = outputs[name].shape[-1]
            of_segments = ops.reshape(outputs[name], (-1, segments, classes))
            outputs[name] = self.consensus(of_segments)
        return outputs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total = 0.0
        for name in self.action_outputs:
            per_sample = self._action_loss(y, y_pred[name])
            self.term_trackers["action"].update_state(per_sample, sample_weight)
            self.accuracy.update_state(y, y_pred[name], sample_weight)
            mean = self._global_mean(per_sample, sample_weight)
            total = total + self.action_loss_weight * mean
        if self.flow_loss is not None:
            step = None
            if training:
                # A copy: the plain tensor may show the count after the next line.
                step = ops.cast(self.step_counter, "float32")
                self.step_counter.assign_add(1)
            terms = self._flow_terms(x, y, y_pred, step)
            for name in self.flow_objective.terms:
                self.term_trackers[name].update_state(terms[name], sample_weight)
            mean = self._global_mean(terms["total"], sample_weight)
            total = total + self.flow_loss_weight * mean
        # An infinite loss may have finite gradients; as NaN it stops the update.
        return ops.where(ops.isfinite(total), 1.0, float("nan")) * total

    def per_sample_terms(self, clips, labels, outputs):
        """Unweighted loss terms by name, each float32 (batch,), without tracking them."""
        terms = {
            name: self._action_loss(labels, outputs[name]) for name in self.action_outputs
        }
        if self.flow_loss is not None:
            found = self._flow_terms(clips, labels, outputs, None)
            terms.update({name: found[name] for name in self.flow_objective.terms})
        return terms

    def _flow_terms(self, clips, targets, outputs, step):
        truth = targets if self.flow_objective.supervised else None
        terms = self.flow_objective.evaluate(_fold_segments(clips), outputs, step, truth)
        if len(clips.shape) < 6:
            return terms
        return {
            name: ops.mean(ops.reshape(value, (-1, clips.shape[1])), axis=1)
            for name, value in terms.items()
        }

    @staticmethod
    def _global_mean(per_sample, sample_weight):
        """This replica's share of the mean over the global batch, however it was split."""
        if sample_weight is None:
            weight = ops.ones_like(per_sample)
        else:
            weight = ops.cast(sample_weight, per_sample.dtype)
        count = sum_over_replicas(ops.sum(weight))
        return ops.sum(weight * per_sample) / ops.maximum(count, 1e-12)

    def _action_loss(self, labels, logits):
        classes = logits.shape[-1]
        target = ops.one_hot(ops.cast(labels, "int32"), classes, dtype="float32")
        if self.label_smoothing:
            target = target * (1 - self.label_smoothing) + self.label_smoothing / classes
        return keras.losses.categorical_crossentropy(
            target, ops.cast(logits, "float32"), from_logits=True
        )

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "network": serialize(self.network),
            "streams": self.streams,
            "flow_loss": self.flow_loss and serialize(self.flow_loss),
            "flow_loss_weight": self.flow_loss_weight,
            "action_loss_weight": self.action_loss_weight,
            "label_smoothing": self.label_smoothing,
            "smoothness_ramp": self.smoothness_ramp,
            "smoothness_start": self.smoothness_start,
            "flow_options": self.flow_options,
            "consensus": self.consensus.mode,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("network", "flow_loss"):
            if isinstance(config[name], dict):
                config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)


def _fold_segments(clips):
    return ops.reshape(clips, (-1, *clips.shape[2:])) if len(clips.shape) == 6 else clips
