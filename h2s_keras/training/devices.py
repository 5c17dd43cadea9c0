"""What a run computes on: devices, strategies over them, and a GPU that is not used."""

import functools
import glob
import importlib.metadata
import os
import shutil
import subprocess
import sys

import keras

from h2s_keras.errors import UserError
from h2s_keras.process import is_out_of_memory, silent_stderr

STRATEGIES = ("none", "mirrored")
_CURES = {
    "tensorflow": 'pip install "h2s_keras[gpu]" (the CUDA libraries that TensorFlow needs)',
    "jax": 'pip install "jax[cuda12]"',
    "torch": "install a PyTorch build with CUDA, see https://pytorch.org",
}
# Every library that has a part in a figure.
_LIBRARIES = ("keras", "tensorflow", "jax", "torch", "numpy", "av", "rich", "openvino")


def find_devices():
    """Names of the devices that the backend computes on, GPUs or else the CPU.

    Returns:
        list of str such as ["GPU:0 NVIDIA H200"] or ["CPU (8 cores)"].
    """
    cpu = [f"CPU ({os.cpu_count()} cores)"]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with silent_stderr():
            # Why a GPU cannot be used takes it many lines; `unused_gpu` needs one.
            gpus = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        names = [about.get("device_name", "") for about in details]
    elif backend == "jax":
        import jax

        devices = [device for device in jax.devices() if device.platform != "cpu"]
        if devices and devices[0].platform != "gpu":
            return [str(device) for device in devices]
        names = [device.device_kind for device in devices]
    elif backend == "torch":
        import torch

        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    else:
        names = []
    return [f"GPU:{n} {name}".strip() for n, name in enumerate(names)] or cpu


def unused_gpu(devices):
    """One line on an NVIDIA GPU that is there while the backend found none, or None.

    Args:
        devices: what `find_devices` returned.

    A GPU that CUDA_VISIBLE_DEVICES hides is left unused on purpose.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not devices[0].startswith("CPU") or hidden in ("", "-1"):
        return None
    present = nvidia_gpus()
    if not present:
        return None
    backend = keras.backend.backend()
    cure = _CURES.get(backend, "see the documentation of the backend")
    return (
        f"warning: {present[0]} is there, but the backend {backend} cannot use it and "
        f"computes on the CPU; {cure}"
    )


def nvidia_gpus():
    """Names of the NVIDIA GPUs of this machine, whatever the backend sees."""
    names = []
    for path in sorted(glob.glob("/proc/driver/nvidia/gpus/*/information")):
        try:
            with open(path, encoding="utf-8") as file:
                lines = dict(line.split(":", 1) for line in file if ":" in line)
        except OSError:
            continue
        names.append(lines.get("Model", "an NVIDIA GPU").strip())
    if names or not shutil.which("nvidia-smi"):
        return names
    # Windows' Linux has no /proc/driver/nvidia.
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def library_versions():
    """dict of library to version, of those that are installed."""
    versions = {}
    for name in _LIBRARIES:
        try:
            # What is imported may come from a package of another name (tensorflow-cpu).
            version = getattr(sys.modules.get(name), "__version__", None)
            versions[name] = version or importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def device_line(devices, precision=None):
    """What computes, in words, as every command prints it first."""
    backend = keras.backend.backend()
    count = f" and {len(devices) - 1} more" if len(devices) > 1 else ""
    about = f"device: {devices[0]}{count}; backend {backend}"
    return about if precision is None else f"{about}; precision {precision}"


def run_header(config, data, devices):
    """The lines that a training run begins with.

    Args:
        config: `RunOptions`.
        data: object with the interface of `h2s_keras.data.training_data`.
        devices: what `find_devices` returned.
    """
    names = list(data.class_names)
    shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
    classes = f"{len(names)} classes ({shown})"
    train = getattr(data, "train", None)
    if train is None:
        what = f"synthetic clips of {classes}; {data.test_count} held-out clips to test on"
    elif config.data.kind == "unlabelled":
        videos = f"{len(train)} video{'' if len(train) == 1 else 's'}"
        what = f"{videos} to learn motion from, {len(data.validation)} held out"
        if {example.path for example in train} & {e.path for e in data.validation}:
            what = "one video to learn motion from, its end held out"
    else:
        test, group = len(data.test), config.data.test_group
        split = f"{test} to test on" if test else "none to test on"
        if group is not None:
            split += f" (group {group!r} left out)"
        if getattr(data, "validates", False):
            split = f"{len(data.validation)} to choose by, {split}"
        what = f"{len(train)} videos of {classes} to train on, {split}"
    lines = [what, device_line(devices, config.dtype_policy)]
    if config.strategy == "mirrored" and len(devices) == 1:
        import tensorflow as tf

        kind = "CPU" if devices[0].startswith("CPU") else "GPU"
        if len(tf.config.list_logical_devices(kind)) == 1:
            lines.append(
                f"strategy=mirrored found one device alone ({kind}:0), so it trains as "
                "without it"
            )
    warning = unused_gpu(devices)
    return lines + ([warning] if warning else [])


def out_of_memory(error):
    """The UserError for memory that ran out, or None for another exception.

    Example:

    ```python
    explained = out_of_memory(error)
    if explained is not None:
        raise explained from error
    ```
    """
    if not is_out_of_memory(error):
        return None
    return UserError(
        "not enough memory for a step: start anew with a lower batch_size (and "
        "gradient_accumulation_steps raised in turn, for the same update), or with "
        "model.rematerialize=True, which keeps less for the backward pass"
    )


def make_strategy(name):
    """The tf.distribute strategy of a recipe's "strategy" value; None for one device.

    Args:
        name: "none" or "mirrored": one replica on each GPU, or on each logical CPU where
            there is no GPU.

    Raises:
        UserError: for another name, or where the backend cannot do it.

    Example:

    ```python
    strategy = make_strategy("mirrored")
    with strategy.scope():
        network = builder.build()
    ```
    """
    if name in (None, "none"):
        return None
    if str(name).startswith("multi"):
        raise UserError(
            f"strategy={name}: TensorFlow's MultiWorkerMirroredStrategy does not run with "
            "Keras 3; for many processes set KERAS_BACKEND=jax and give --processes, "
            "--process and --coordinator"
        )
    if name not in STRATEGIES:
        raise UserError(f"strategy must be one of {STRATEGIES}; received {name!r}")
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"strategy=mirrored is TensorFlow's; the backend is {keras.backend.backend()}. "
            "On JAX give --processes (one process for each device), or leave it out"
        )
    return _mirrored()


@functools.cache
def _mirrored():
    # Two strategies over the same devices in one process mix up their collectives.
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def unsynchronized_layers(network):
    """The layers of batch normalisation that do not share their statistics yet."""
    return [
        layer
        for layer in network._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
    ]


def share_statistics(layers, value):
    """Sets whether layers of batch normalisation share their statistics over replicas.

    Where they do not, each replica of TensorFlow normalises with its own few clips, and the
    statistics of the first replica alone are kept. Processes on JAX need no such thing: a
    batch is one global array there, and Keras refuses the option, also in a file.
    """
    for layer in layers:
        layer.synchronized = value
