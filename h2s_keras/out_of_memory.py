"""How the backends say that a device ran out of memory."""

_OWN_CLASS = ("ResourceExhaustedError", "OutOfMemoryError")
# JAX has one class for all that can go wrong, whose name changed; PyTorch has one of its
# own for GPUs alone. There the text says it.
JAX_ERRORS = ("JaxRuntimeError", "XlaRuntimeError")
_BY_TEXT = (*JAX_ERRORS, "InternalError", "RuntimeError")
_TEXTS = ("RESOURCE_EXHAUSTED", "Out of memory", "DefaultCPUAllocator")


def is_out_of_memory(error):
    """Whether an exception of TensorFlow, JAX or PyTorch says that memory ran out."""
    kind, text = type(error).__name__, str(error)
    # TensorFlow has one class for memory and for disks.
    if "No space left" in text:
        return False
    return kind in _OWN_CLASS or (kind in _BY_TEXT and any(part in text for part in _TEXTS))
