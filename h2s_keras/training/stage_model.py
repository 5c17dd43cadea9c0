import keras
from keras import ops

from h2s_keras.errors import UserError
from h2s_keras.layers.segment_consensus import SegmentConsensus
from h2s_keras.models.motion_net_of import motion_net_of
from h2s_keras.models.network_answers import ChecksClips
from h2s_keras.ops.class_labels import (
    check_labels,
    check_weight_shape,
    is_one_hot,
    per_sample_weights,
)
from h2s_keras.ops.clip_range import looked_at
from h2s_keras.ops.host_values import host_values
from h2s_keras.training.action_losses import ActionLosses
from h2s_keras.training.backend_steps import sum_over_replicas
from h2s_keras.training.checked_data import DataChecks
from h2s_keras.training.flow_objective import FlowObjective, clip_flows


@keras.saving.register_keras_serializable(package="h2s_keras")
class StageModel(ChecksClips, keras.Model):
    """One training stage of a hidden two-stream network, for plain `compile` and `fit`.

    It runs only the streams that the stage needs and adds the unsupervised loss of
    MotionNet to the action loss. The step itself is Keras' own, so it runs on every
    backend and under every strategy.

    Args:
        network: a HiddenTwoStream model, or a MotionNet for the motion stage alone.
        streams: what to run, of "motion", "temporal", "spatial".
        flow_loss: `FlowObjective`, or a loss alone, which stands for an objective with its
            other arguments at their defaults: an UnsupervisedFlowLoss (or, for the stage
            "motion" alone, a SupervisedFlowLoss or MixedFlowLoss). None to learn from
            actions only.
        flow_loss_weight: factor on the whole flow loss.
        action_loss_weight: factor on the action loss.
        label_smoothing: label smoothing of the action loss.
        consensus: mode of `SegmentConsensus` over the segments of a video.

    Call arguments:
        clips: (batch, time, height, width, 3) RGB 0..255, any dtype; or (batch, segments,
            time, height, width, 3), whose logits are joined by the consensus. The stage
            "motion" alone takes any number of frames where the MotionNet is coarse to fine.

    Targets of fit:
        labels: (batch,) or (batch, 1) classes counted from 0, or one-hot or soft labels
            (batch, classes) whose rows sum to 1; unused by the motion stage, which with a
            SupervisedFlowLoss takes true flow (batch, time-1, height, width, 2) instead,
            and with a MixedFlowLoss the same with NaN for clips without it.
        sample_weight: (batch,) or (batch, 1); as in Keras the loss is the weighted sum over
            the number of clips. `class_weight` of `fit` works as in Keras, too. "action",
            "accuracy" and the terms of the flow loss are weighted means.

    Arguments of compile:
        loss: replaces the cross-entropy of the logits: one for all action outputs, or a
            dict by their names ("temporal_logits", "spatial_logits"). A loss of Keras gets
            the labels in the form that it takes, any other as they are.
        loss_weights: factors on the losses of the action outputs, in the same forms.
        metrics, weighted_metrics: of the action outputs, as in Keras: with one output a
            list, with two a list of lists or a dict by their names.

    Raises:
        ValueError: for an unknown stream, a stage that would learn nothing, or what
            `compile` cannot honour.
        UserError: for labels outside the classes. `fit` and `evaluate` look at arrays
            before the first step, at `tf.data`, generators and PyDatasets batch by batch;
            elsewhere in a compiled step such a label makes the loss NaN.

    Reference: arXiv 1704.00389, sections 3.3 and 4.1.
    """

    def __init__(
        self,
        network,
        streams=("temporal",),
        flow_loss=None,
        flow_loss_weight=1.0,
        action_loss_weight=1.0,
        label_smoothing=0.0,
        consensus="average",
        **kwargs,
    ):
        if keras.config.floatx() in ("float16", "bfloat16"):
            raise ValueError(
                f"keras.config.set_floatx({keras.config.floatx()!r}) would keep weights "
                "and sums in half precision, where training goes wrong; use "
                "keras.config.set_dtype_policy('mixed_float16') or 'mixed_bfloat16'."
            )
        super().__init__(**kwargs)
        unknown = set(streams) - {"motion", "temporal", "spatial"}
        if unknown or not streams:
            raise ValueError(
                "streams must be among 'motion', 'temporal', 'spatial'; received "
                f"{tuple(streams)}."
            )
        self.network, self.streams = network, tuple(streams)
        self.flow_loss_weight = flow_loss_weight
        self.action_loss_weight = action_loss_weight
        self.label_smoothing = label_smoothing
        if flow_loss is not None and not isinstance(flow_loss, FlowObjective):
            flow_loss = FlowObjective(flow_loss)
        self.flow_objective = flow_loss
        if flow_loss is not None and flow_loss.supervised and self.streams != ("motion",):
            raise ValueError(
                f"{type(flow_loss.loss).__name__} takes true flow instead of labels and so "
                f"goes with the stream 'motion' alone; received {self.streams}."
            )
        # The logits are float32 under every policy, and so is what the loss gets.
        self.consensus = SegmentConsensus(consensus, dtype="float32")
        self.action_outputs = [
            f"{name}_logits" for name in self.streams if name != "motion"
        ]
        if flow_loss is None and not self.action_outputs:
            raise ValueError(
                "A motion stage learns from the unsupervised loss only; pass flow_loss."
            )
        names = [] if flow_loss is None else flow_loss.terms
        self.term_trackers = {name: _mean(name) for name in names}
        if self.action_outputs:
            self.term_trackers["action"] = _mean("action")
            self.accuracy = _mean("accuracy")
        self._given = {"loss": None, "loss_weights": None}
        self.action_losses = ActionLosses(
            self.action_outputs, label_smoothing=label_smoothing
        )
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
        elif self.streams == ("motion",):
            motion = motion_net_of(self.network)
            outputs = clip_flows(motion, clips, training=training)
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

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        **kwargs,
    ):
        self._given = {"loss": loss, "loss_weights": loss_weights}
        self.action_losses = ActionLosses(
            self.action_outputs, loss, loss_weights, self.label_smoothing
        )
        self._check_metrics(metrics=metrics, weighted_metrics=weighted_metrics)
        super().compile(
            optimizer, metrics=metrics, weighted_metrics=weighted_metrics, **kwargs
        )

    def _check_metrics(self, **arguments):
        for argument, given in arguments.items():
            if given and not self.action_outputs:
                raise ValueError(
                    f"compile({argument}=...) measures classes and this stage has none; "
                    "h2s_keras.metrics measure flow outside of fit."
                )
            unknown = (
                set(given) - set(self.action_outputs) if isinstance(given, dict) else ()
            )
            if unknown:
                raise ValueError(
                    f"compile({argument}=...) names the output {min(unknown)!r}; this "
                    f"stage measures {', '.join(self.action_outputs)}."
                )

    def get_compile_config(self):
        config = super().get_compile_config()
        serialize = keras.saving.serialize_keras_object
        given = {name: serialize(value) for name, value in self._given.items()}
        return {**config, **given} if config else config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        outputs = {name: y_pred[name] for name in self.action_outputs}
        targets = dict.fromkeys(outputs, y)
        if len(outputs) == 1:
            (outputs,), targets = outputs.values(), y
        if sample_weight is not None and self.action_outputs:
            first = y_pred[self.action_outputs[0]][:, 0]
            sample_weight = per_sample_weights(sample_weight, first)
        return super().compute_metrics(x, targets, outputs, sample_weight)

    def get_metrics_result(self):
        results = super().get_metrics_result()
        # What the user measures goes before what is measured anyway, as "accuracy".
        if self._compile_metrics is not None:
            results.update(self._compile_metrics.result())
        return results

    # === What Keras' own loops get, looked at on its way ===

    def _checks(self, method):
        classes = getattr(self.network, "num_classes", None)
        return DataChecks(
            classes if self.action_outputs else None, f"{type(self).__name__}.{method}"
        )

    def fit(self, x=None, y=None, *args, validation_data=None, **kwargs):
        checks = self._checks("fit")
        if isinstance(validation_data, (tuple, list)):
            checks.batch(tuple(validation_data))
        elif validation_data is not None:
            validation_data = checks.data(validation_data)
        x = checks.data(x, y)
        _check_weights(kwargs.get("sample_weight"))
        with looked_at(), checks.raised_plainly():
            return super().fit(x, y, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        checks = self._checks("evaluate")
        # Within `fit` the data have been looked at.
        if not kwargs.get("_use_cached_eval_dataset"):
            x = checks.data(x, y)
            _check_weights(kwargs.get("sample_weight"))
        with looked_at(), checks.raised_plainly():
            return super().evaluate(x, y, *args, **kwargs)

    def train_on_batch(self, x, y=None, *args, **kwargs):
        self._checks("fit").arrays(x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        self._checks("evaluate").arrays(x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    # === Loss ===

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total = 0.0
        for name in self.action_outputs:
            per_sample = self._action_loss(name, y, y_pred[name])
            self._track(self.term_trackers["action"], per_sample, sample_weight)
            self._track(self.accuracy, _hits(y, y_pred[name]), sample_weight)
            weight = self.action_loss_weight * self.action_losses.weights[name]
            total = total + weight * self._global_mean(per_sample, sample_weight)
        if self.flow_objective is not None:
            step = None
            if training:
                # A copy: the plain tensor may show the count after the next line.
                step = ops.cast(self.step_counter, "float32")
                self.step_counter.assign_add(1)
            terms = self._flow_terms(x, y, y_pred, step)
            for name in self.flow_objective.terms:
                self._track(self.term_trackers[name], terms[name], sample_weight)
            mean = self._global_mean(terms["total"], sample_weight)
            total = total + self.flow_loss_weight * mean
        # An infinite loss may have finite gradients; as NaN it stops the update.
        factor = ops.where(ops.isfinite(total), 1.0, float("nan"))
        return ops.cast(factor, total.dtype) * total

    def per_sample_terms(self, clips, labels, outputs):
        """Unweighted loss terms by name, each float32 (batch,), without tracking them."""
        terms = {
            name: self._action_loss(name, labels, outputs[name])
            for name in self.action_outputs
        }
        if self.flow_objective is not None:
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
    def _track(tracker, per_sample, sample_weight):
        if sample_weight is not None:
            sample_weight = per_sample_weights(sample_weight, per_sample)
        tracker.update_state(per_sample, sample_weight)

    @staticmethod
    def _global_mean(per_sample, sample_weight):
        """This replica's share of the mean over the global batch, however it was split.

        As in Keras weights are factors, and the mean is over the number of clips.
        """
        count = sum_over_replicas(ops.sum(ops.ones_like(per_sample)))
        if sample_weight is not None:
            per_sample = per_sample * per_sample_weights(sample_weight, per_sample)
        return ops.sum(per_sample) / ops.maximum(count, 1.0)

    def _action_loss(self, name, labels, logits):
        if labels is None:
            raise UserError(
                f"the stream of {name!r} learns from labels; give fit(clips, labels)."
            )
        # Where there are values already: with PyTorch, and in a custom loop.
        values = host_values(labels)
        if values is not None:
            check_labels(values, logits.shape[-1])
        return self.action_losses.per_sample(name, ops.convert_to_tensor(labels), logits)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "network": serialize(self.network),
            "streams": self.streams,
            "flow_loss": self.flow_objective and serialize(self.flow_objective),
            "flow_loss_weight": self.flow_loss_weight,
            "action_loss_weight": self.action_loss_weight,
            "label_smoothing": self.label_smoothing,
            "consensus": self.consensus.mode,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("network", "flow_loss"):
            if isinstance(config[name], dict):
                config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)


def _check_weights(sample_weight):
    # A step that is compiled already no longer sees the shape.
    if hasattr(sample_weight, "shape"):
        check_weight_shape(sample_weight)


def _fold_segments(clips):
    return ops.reshape(clips, (-1, *clips.shape[2:])) if len(clips.shape) == 6 else clips


def _mean(name):
    # float32 whatever Keras' floatx is: sums of half precision stand still.
    return keras.metrics.Mean(name=name, dtype="float32")


def _hits(labels, logits):
    """1 for every clip whose best class is that of its label, float32 (batch,)."""
    labels = ops.convert_to_tensor(labels)
    if is_one_hot(labels.shape):
        classes = ops.argmax(labels, axis=-1)
    else:
        classes = ops.reshape(labels, (-1,))
    best = ops.argmax(logits, axis=-1)
    return ops.cast(
        ops.equal(ops.cast(classes, "int32"), ops.cast(best, "int32")), "float32"
    )
