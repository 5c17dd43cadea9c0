"""Compiling, differentiating and waiting on whichever backend Keras runs."""

import keras
import numpy as np

# Ways to run a function, by backend; the first is what Keras does outside of fit.
WAYS = {
    "tensorflow": ("eager", "graph", "XLA"),
    "jax": ("XLA",),
    "torch": ("eager",),
}


def ways():
    """Names of the ways in which this backend can run a function."""
    return WAYS[keras.backend.backend()]


def compiled(function, way, model=None):
    """`function` of tensors, run in one of `ways()`.

    Args:
        function: of tensors.
        way: one of `ways()`.
        model: built keras.Model whose weights `function` reads. JAX then gets them as
            arguments, as Keras gives them; it would compile them in as constants.
    """
    backend = keras.backend.backend()
    if way == "eager":
        return function
    if backend == "jax":
        import jax

        if model is None:
            return jax.jit(function)
        weights = model.variables

        def of_weights(values, *inputs):
            with keras.StatelessScope(list(zip(weights, values, strict=True))):
                return function(*inputs)

        run = jax.jit(of_weights)
        return lambda *inputs: run([weight.value for weight in weights], *inputs)
    import tensorflow as tf

    return tf.function(function, jit_compile=way == "XLA")


def value_and_gradients(function, of):
    """A function of (*inputs, upstream) that gives the result and some gradients.

    Args:
        function: of tensors, with one tensor as result.
        of: positions of the inputs whose gradients are wanted.

    Returns:
        A function that gives the list [result, gradient, ...].
    """
    backend = keras.backend.backend()

    def run(*arguments):
        *inputs, upstream = arguments
        wanted = [inputs[position] for position in of]
        if backend == "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(wanted)
                result = function(*inputs)
            return [result, *tape.gradient(result, wanted, upstream)]
        if backend == "jax":
            import jax

            def partial(*some):
                filled = list(inputs)
                for position, value in zip(of, some, strict=True):
                    filled[position] = value
                return function(*filled)

            result, pull = jax.vjp(partial, *wanted)
            return [result, *pull(upstream)]
        import torch

        for position in of:
            inputs[position] = inputs[position].detach().requires_grad_()
        result = function(*inputs)
        wanted = [inputs[position] for position in of]
        return [result.detach(), *torch.autograd.grad(result, wanted, upstream)]

    return run


def gradient_of_sum(function, model=None):
    """A function that gives the gradients of a scalar in a model's weights or its inputs.

    Args:
        function: of tensors, with a scalar as result.
        model: built keras.Model that `function` calls, or None for the inputs' gradients.
    """
    backend = keras.backend.backend()

    def run(*inputs):
        if backend == "tensorflow":
            import tensorflow as tf

            wanted = list(inputs)
            if model is not None:
                wanted = [weight.value for weight in model.trainable_variables]
            with tf.GradientTape() as tape:
                tape.watch(wanted)
                value = function(*inputs)
            return tape.gradient(value, wanted)
        if backend == "jax":
            import jax

            if model is None:
                return jax.grad(function, tuple(range(len(inputs))))(*inputs)

            def of_weights(values):
                pairs = zip(model.trainable_variables, values, strict=True)
                with keras.StatelessScope(list(pairs)):
                    return function(*inputs)

            return jax.grad(of_weights)([w.value for w in model.trainable_variables])
        import torch

        if model is None:
            wanted = inputs = [one.detach().requires_grad_() for one in inputs]
        else:
            wanted = [weight.value for weight in model.trainable_variables]
        return torch.autograd.grad(function(*inputs), wanted)

    return run


def wait(outputs):
    """Returns once everything that was asked of the device is done."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        jax.block_until_ready(outputs)
    elif backend == "tensorflow":
        import tensorflow as tf

        # On a CPU eager operations and compiled functions are done when they return.
        if tf.config.list_logical_devices("GPU"):
            tf.test.experimental.sync_devices()
    else:
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()


def ready(function, *inputs):
    """A function of nothing that runs `function` on `inputs` to its end."""

    def run():
        outputs = function(*inputs)
        wait(outputs)
        return outputs

    return run


def tensor(array):
    return keras.ops.convert_to_tensor(np.asarray(array))
