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


def compiled(function, way):
    """`function` of tensors, run in one of `ways()`."""
    backend = keras.backend.backend()
    if way == "eager":
        return function
    if backend == "jax":
        import jax

        return jax.jit(function)
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
