import types

from keras import ops

from h2s_keras.training.backend_steps import (
    on_one_device,
    run_if,
    sum_over_replicas,
    updates_in_place,
)

DECAY_KINDS = ("decoupled", "coupled")
# The usual start and growth of dynamic loss scaling; below 1 a scale cannot help.
_FIRST_SCALE, _GROWTH_STEPS, _LEAST_SCALE = 2.0**15, 2000, 1.0


class StageUpdates:
    """What a stage asks of its optimiser, as a mixin before `keras.optimizers.SGD` or Adam.

    In one step: undo the loss scale, sum the gradients over the replicas, accumulate
    them, clip them by their global norm, skip the update on every replica if anything is
    not finite, decay the weights, and move each variable at the rate of its group. The
    order is Caffe's, and the same on every backend and under `tf.distribute`, where
    Keras clips before the sum and looks at one replica only.

    Args:
        lr_multipliers: factor on the learning rate of each trainable variable, in their
            order; None for 1 everywhere.
        decays: weight decay of each trainable variable; None for 0 everywhere.
        decay_kind: "decoupled" (from the weight itself, as Keras does) or "coupled"
            (added to the gradient after clipping, Caffe's L2).
        global_clipnorm: largest global norm of the gradients, or None.
        gradient_accumulation_steps: batches per update. Their mean gradient is that of
            one batch of so many times the size; clipping, decay and schedules act on the
            whole.
        average: momentum of an exponential moving average of the weights, or None. See
            `use_averages`.
        dynamic_scale: whether to scale the loss for float16, doubling the scale every
            2000 updates and halving it when a gradient overflows.

    A gradient that is not finite although the loss scale is at its least stops all
    further updates: `bad_batch` holds the number of the batch and `bad_gradient` that of
    the first trainable variable concerned, both -1 while all is well. The weights stay as
    they were before that batch, for whoever looks for the cause.

    Reference: Caffe's SGDSolver (clip, normalise, regularise, update); arXiv 1704.00389,
    section 4.1; Micikevicius et al. 2018 for loss scaling.
    """

    def __init__(
        self,
        *args,
        lr_multipliers=None,
        decays=None,
        decay_kind="decoupled",
        global_clipnorm=None,
        gradient_accumulation_steps=1,
        average=None,
        dynamic_scale=False,
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        if decay_kind not in DECAY_KINDS:
            raise ValueError(
                f"decay_kind must be one of {DECAY_KINDS}; received {decay_kind!r}."
            )
        batches = gradient_accumulation_steps
        if not isinstance(batches, int) or batches < 1:
            raise ValueError(
                f"gradient_accumulation_steps must be 1 or more; received {batches!r}."
            )
        if average is not None and not 0.0 < average < 1.0:
            raise ValueError(f"average must lie between 0 and 1; received {average!r}.")
        self.lr_multipliers, self.decays = lr_multipliers, decays
        self.decay_kind = decay_kind
        # Not Keras' own attribute, which would accumulate a second time.
        self._batches_per_update = batches
        self.global_clipnorm, self.average = global_clipnorm, average
        self.use_dynamic_scale = dynamic_scale

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        count = len(variables)
        self._factors = self.lr_multipliers or [1.0] * count
        self._decays = self.decays or [0.0] * count
        if len(self._factors) != count or len(self._decays) != count:
            raise ValueError(
                f"lr_multipliers and decays hold one number for each of {count} trainable "
                f"variables; received {len(self._factors)} and {len(self._decays)}."
            )
        self._sums = self._averages = None
        if self._batches_per_update > 1:
            self._sums = self.add_optimizer_variables(variables, "gradient_sum")
        if self.average:
            self._averages = self.add_optimizer_variables(variables, "average")
            # A weight that never has a gradient is never moved, and is its own average. A
            # copy: JAX takes the array of every variable away from it in a step.
            for average, variable in zip(self._averages, variables, strict=True):
                average.assign(ops.copy(variable))
        self.batches = self._scalar("batches", "int32", 0)
        self.bad_batch = self._scalar("bad_batch", "int32", -1)
        self.bad_gradient = self._scalar("bad_gradient", "int32", -1)
        self.rate_scale = self._scalar("rate_scale", "float32", 1.0)
        first = _FIRST_SCALE if self.use_dynamic_scale else 1.0
        self.dynamic_scale = self._scalar("dynamic_scale", "float32", first)
        self.updates_since_overflow = self._scalar("updates_since_overflow", "int32", 0)

    def _scalar(self, name, dtype, value):
        variable = self.add_variable(
            (), dtype=dtype, aggregation="only_first_replica", name=name
        )
        variable.assign(value)
        return variable

    def scale_loss(self, loss):
        return loss * self.dynamic_scale if self.use_dynamic_scale else loss

    def apply(self, grads, trainable_variables=None):
        """Adds the gradients of one batch; the last batch of an update applies them."""
        known = trainable_variables or self._trainable_variables
        if not self.built:
            self.build(list(known))
        pairs = [pair for pair in zip(grads, known, strict=True) if pair[0] is not None]
        if not pairs:
            raise ValueError(
                "No trainable variable has a gradient: the loss of this stage does not "
                "depend on what it trains."
            )
        variables = [variable for _, variable in pairs]
        places = [self._get_variable_index(variable) for variable in variables]
        totals = [gradient for gradient, _ in pairs]
        if self.use_dynamic_scale:
            totals = [total / self.dynamic_scale for total in totals]
        totals = sum_over_replicas(totals)
        if self._batches_per_update > 1:
            totals = [
                total + self._sums[place]
                for total, place in zip(totals, places, strict=True)
            ]
        good = ops.stack([ops.all(ops.isfinite(total)) for total in totals])
        finite = ops.all(good)
        self._note_bad(finite, good, places)
        due = ops.equal((self.batches + 1) % self._batches_per_update, 0)
        update = ops.logical_and(ops.logical_and(due, finite), ops.less(self.bad_batch, 0))
        factor = 1.0 / self._batches_per_update
        if self.global_clipnorm:
            norm = factor * ops.sqrt(sum(ops.sum(ops.square(total)) for total in totals))
            factor = factor * self.global_clipnorm / ops.maximum(norm, self.global_clipnorm)
        self._step = types.SimpleNamespace(update=update, due=due, factor=factor)
        rate = self.learning_rate * self.rate_scale
        self._update(totals, variables, rate)
        self._step = None
        self._count(update, due, finite)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        # Keras' TensorFlow optimisers sum over replicas here; `apply` has done it.
        return grads_and_vars

    def _note_bad(self, finite, good, places):
        hopeless = ops.logical_and(
            ops.logical_not(finite), ops.less_equal(self.dynamic_scale, _LEAST_SCALE)
        )
        first = ops.logical_and(hopeless, ops.less(self.bad_batch, 0))
        index = ops.take(
            ops.convert_to_tensor(places, "int32"), ops.argmin(ops.cast(good, "int32"))
        )
        gradient = ops.where(first, ops.cast(index, "int32"), _tensor(self.bad_gradient))
        self.bad_gradient.assign(gradient)
        bad_batch = ops.where(first, _tensor(self.batches), _tensor(self.bad_batch))
        self.bad_batch.assign(bad_batch)

    def _update(self, totals, variables, rate):
        if not updates_in_place() or not on_one_device():
            self._backend_update_step(totals, variables, rate)
            return
        # One branch for all weights: a branch for each is slow to trace.
        pairs = list(zip(totals, variables, strict=True))
        for total, variable in pairs:
            self._keep_sum(total, variable)

        def move_all():
            for total, variable in pairs:
                self._move(total, variable, rate)

        run_if(self._step.update, move_all)

    def update_step(self, gradient, variable, learning_rate):
        self._keep_sum(gradient, variable)
        if updates_in_place():
            run_if(self._step.update, lambda: self._move(gradient, variable, learning_rate))
        else:
            self._move(gradient, variable, learning_rate)

    def _keep_sum(self, gradient, variable):
        if self._batches_per_update > 1:
            rest = ops.where(self._step.due, ops.zeros_like(gradient), gradient)
            super().assign(self._sums[self._get_variable_index(variable)], rest)

    def _move(self, gradient, variable, learning_rate):
        place = self._get_variable_index(variable)
        gradient = ops.cast(gradient * self._step.factor, variable.dtype)
        rate = learning_rate * self._factors[place]
        decay = self._decays[place]
        if decay and self.decay_kind == "coupled":
            gradient = gradient + decay * ops.cast(variable, gradient.dtype)
        elif decay:
            self.assign_sub(variable, variable * ops.cast(decay * rate, variable.dtype))
        self.rule(gradient, variable, rate, place)
        if self.average:
            # The first update sets the average; zeros must not count as weights.
            keep = ops.where(ops.equal(self._iterations, 0), 0.0, self.average)
            keep = ops.cast(keep, variable.dtype)
            average = self._averages[place]
            self.assign(average, average * keep + variable * (1 - keep))

    def rule(self, gradient, variable, rate, place):
        """Moves one variable and its moments; an optimiser may have a leaner one."""
        super().update_step(gradient, variable, rate)

    # Keras' update rules change state through these three only. Where an update that must
    # not be made cannot be left out, it is masked.

    def assign(self, variable, value):
        if not updates_in_place():
            old = _tensor(variable)
            value = ops.where(self._step.update, ops.cast(value, old.dtype), old)
        super().assign(variable, value)

    def assign_add(self, variable, value):
        super().assign_add(variable, self._masked(value))

    def assign_sub(self, variable, value):
        super().assign_sub(variable, self._masked(value))

    def _masked(self, value):
        if updates_in_place():
            return value
        value = _tensor(value)
        return ops.where(self._step.update, value, ops.zeros((), value.dtype))

    def _count(self, update, due, finite):
        one = ops.cast(update, self._iterations.dtype)
        self._iterations.assign(self._iterations + one)
        self.batches.assign(self.batches + 1)
        if not self.use_dynamic_scale:
            return
        since = self.updates_since_overflow + ops.cast(update, "int32")
        grown = ops.greater_equal(since, _GROWTH_STEPS)
        overflow = ops.logical_and(due, ops.logical_not(finite))
        factor = ops.where(overflow, 0.5, ops.where(grown, 2.0, 1.0))
        scale = ops.maximum(self.dynamic_scale * factor, _LEAST_SCALE)
        self.dynamic_scale.assign(scale)
        restart = ops.logical_or(grown, overflow)
        self.updates_since_overflow.assign(ops.where(restart, 0, since))

    def use_averages(self):
        """Replaces the weights by their moving averages, at the end of a stage."""
        if self.average and int(ops.convert_to_numpy(self._iterations)):
            for variable, average in zip(
                self._trainable_variables, self._averages, strict=True
            ):
                variable.assign(average)

    def get_config(self):
        return {
            **super().get_config(),
            "lr_multipliers": self.lr_multipliers,
            "decays": self.decays,
            "decay_kind": self.decay_kind,
            "global_clipnorm": self.global_clipnorm,
            "gradient_accumulation_steps": self._batches_per_update,
            "average": self.average,
            "dynamic_scale": self.use_dynamic_scale,
        }


def _tensor(variable):
    # JAX's `where` takes no Keras variables.
    return ops.convert_to_tensor(variable)
