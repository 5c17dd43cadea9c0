"""Where a PyTorch peer computes: on the cores that it was given, or on a GPU."""

import contextlib


def prepare(options):
    """Makes the device of `options` that of every new tensor.

    Args:
        options: dict with "threads", and where a GPU is measured "device": "cuda".

    Returns:
        (device, dict of arguments of `serve`).
    """
    import torch

    torch.set_num_threads(options["threads"])
    device = options.get("device", "cpu")
    if device == "cpu":
        return device, {}
    torch.set_default_device(device)
    # As one does for batches of one size; XLA tries its convolutions, too.
    torch.backends.cudnn.benchmark = True
    return device, {
        "wait": torch.cuda.synchronize,
        "peak_bytes": torch.cuda.max_memory_allocated,
    }


def precision(options):
    """The scope that computes in bfloat16 what PyTorch itself would, if that is asked."""
    import torch

    if not options.get("bfloat16"):
        return contextlib.nullcontext()
    return torch.autocast(options.get("device", "cpu"), torch.bfloat16)
