"""What a training step asks of the backend: sums over replicas, updates in place.

Elsewhere than under a `tf.distribute` strategy the sum is the value itself: on JAX with
`keras.distribution` a value is global already, and PyTorch trains on one device.

Keras' update rules make new arrays on TensorFlow, several for every variable. With VGG16's
first dense layer, three quarters of the weights, that is 0.8 to 1.3 GiB more at the peak of
a step (docs/performance.md, "A training step"); those here change weights and moments where
they lie. JAX compiles the update, and PyTorch's allocator gives the arrays back one by one,
so both keep Keras' rules.
"""

import keras


def sum_over_replicas(values):
    """Sums a tensor, or each tensor of a list, over the replicas.

    Inside a replica the result is the same on all of them; outside one, and without a
    strategy, `values` come back as they are.

    Example:

    ```python
    clips = sum_over_replicas(local_clips)      # of the global batch
    ```
    """
    if keras.backend.backend() != "tensorflow":
        return values
    import tensorflow as tf

    if not tf.distribute.has_strategy():
        return values
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def jit_compile(wanted):
    """The `jit_compile` of a step that wants `wanted`: on JAX never False.

    There a step that XLA does not compile runs operation by operation. Ten steps of the
    recipe `motion` take 75 processor seconds with the compilation and more than 130 without
    it (benchmarks/results/notes_speed.md).

    Example:

    ```python
    model.compile(optimizer, loss, jit_compile=jit_compile(False))
    ```
    """
    return wanted or keras.backend.backend() == "jax"


def updates_in_place():
    """Whether the update rules of this file can be used: on TensorFlow."""
    return keras.backend.backend() == "tensorflow"


def on_one_device():
    """Whether no `tf.distribute` strategy is at work."""
    import tensorflow as tf

    return not tf.distribute.has_strategy()


def run_if(condition, function):
    """Runs `function`, which returns nothing, where the boolean `condition` holds."""
    import tensorflow as tf

    def branch():
        function()
        return tf.constant(True)

    tf.cond(condition, branch, lambda: tf.constant(False))


def apply_momentum(variable, momentum_of, gradient, rate, momentum, nesterov=False):
    """`keras.optimizers.SGD` with momentum: m = momentum m - rate g; w = w + m.

    Args:
        variable: the weight, a Keras or a TensorFlow variable of the device that runs this.
        momentum_of: its momentum, a Keras variable.
        gradient: tensor of the weight's shape.
        rate: scalar, the learning rate.
        momentum: float from 0 to 1.
        nesterov: as in Keras.
    """
    import tensorflow as tf

    tf.raw_ops.ResourceApplyKerasMomentum(
        var=_handle(variable),
        accum=_handle(momentum_of),
        lr=_like(rate, gradient),
        grad=gradient,
        momentum=_like(momentum, gradient),
        use_nesterov=nesterov,
    )


def apply_adam(variable, moments, gradient, rate, betas, epsilon, step):
    """`keras.optimizers.Adam` without amsgrad (Kingma and Ba, section 2, last paragraph).

    Args:
        variable: the weight, a Keras or a TensorFlow variable of the device that runs this.
        moments: its first and second moment, Keras variables.
        gradient: tensor of the weight's shape.
        rate: scalar, the learning rate.
        betas: pair of floats.
        epsilon: float.
        step: scalar, the number of this update, from 1.
    """
    import tensorflow as tf

    first, second = (_like(beta, gradient) for beta in betas)
    step = _like(step, gradient)
    tf.raw_ops.ResourceApplyAdam(
        var=_handle(variable),
        m=_handle(moments[0]),
        v=_handle(moments[1]),
        beta1_power=tf.pow(first, step),
        beta2_power=tf.pow(second, step),
        lr=_like(rate, gradient),
        beta1=first,
        beta2=second,
        epsilon=_like(epsilon, gradient),
        grad=gradient,
    )


def _handle(variable):
    if isinstance(variable, keras.Variable):
        variable = variable.value
    return variable.handle


def _like(value, gradient):
    import tensorflow as tf

    return tf.cast(value, gradient.dtype)
