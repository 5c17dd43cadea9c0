"""What a device that ran out of memory raises, and what to do about it."""

from h2s_keras.errors import UserError

_OWN_CLASS = ("ResourceExhaustedError", "OutOfMemoryError")
# Classes for all that can go wrong, and what their text says of memory. The name of JAX's
# class changed; PyTorch has one for GPUs alone.
_BY_TEXT = ("JaxRuntimeError", "XlaRuntimeError", "InternalError", "RuntimeError")
_TEXTS = ("RESOURCE_EXHAUSTED", "Out of memory", "DefaultCPUAllocator")


def out_of_memory(error):
    """The UserError that tells of memory which ran out, or None for another exception.

    Example:

    ```python
    told = out_of_memory(error)
    if told is not None:
        raise told from error
    ```
    """
    kind, text = type(error).__name__, str(error)
    named = kind in _OWN_CLASS or (
        kind in _BY_TEXT and any(part in text for part in _TEXTS)
    )
    # TensorFlow has one class for memory and for disks.
    if not named or "No space left" in text:
        return None
    return UserError(
        "not enough memory for a step: start anew with a lower batch_size (and accumulate "
        "raised in turn, for the same update), or with model.rematerialize=True, which "
        "keeps less for the backward pass"
    )
