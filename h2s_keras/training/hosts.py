import contextlib
import os
import sys

import keras
import numpy as np

from h2s_keras.errors import UserError


class Hosts:
    """Processes, one a host, that train one network together on the JAX backend.

    Every host runs the same command with its own number. Each reads its share of every
    global batch, gradients are averaged by the compiled step, and weights stay equal.

    Args:
        count: number of processes.
        host: number of this one, 0 to count-1.
        coordinator: "ADDRESS:PORT" of host 0, reachable from all.

    Raises:
        UserError: for another backend, numbers that do not fit, or a coordinator that
            does not answer.

    Example:

    ```python
    hosts = Hosts(2, int(os.environ["HOST"]), "10.0.0.1:1234")
    batches = data.training(16, 0, seed, **hosts.share())
    ```
    """

    def __init__(self, count, host, coordinator, timeout=300):
        if keras.backend.backend() != "jax":
            raise UserError(
                "many hosts train through the JAX backend; set KERAS_BACKEND=jax (the "
                f"backend is {keras.backend.backend()})"
            )
        if not 0 <= host < count:
            raise UserError(f"--host must be 0 to {count - 1}; received {host}")
        if ":" not in (coordinator or ""):
            raise UserError(
                f"--coordinator must be ADDRESS:PORT of host 0; received {coordinator!r}"
            )
        import jax

        self.count, self.host = count, host
        # Between CPUs; GPUs talk through NCCL whatever this says.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        try:
            jax.distributed.initialize(
                coordinator, count, host, initialization_timeout=timeout
            )
        except RuntimeError as error:
            raise UserError(
                f"host {host} of {count}: no connection through {coordinator} "
                f"({str(error).splitlines()[0]}); start host 0 too, and check the address"
            ) from error
        with _stdout_to_stderr():
            self.gather([host])  # Connects them all; Gloo tells of it on stdout.
        self.distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(self.distribution)

    def share(self):
        """Arguments of `data.training` for this host's rows of every global batch."""
        return {"host": self.host, "hosts": self.count}

    def rows(self, names):
        """This host's part of a list with an entry for each row of the global batch."""
        size = len(names) // self.count
        return names[self.host * size : (self.host + 1) * size]

    def gather(self, values):
        """The integers of every host, int (count, len(values))."""
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(np.asarray(values, "int32")))

    def any(self, flag):
        """Whether the flag is set on any host."""
        return bool(self.gather([int(flag)]).any())

    def least(self, pair):
        """The least pair of integers of all hosts, by order of the first, then second."""
        return tuple(int(value) for value in min(map(tuple, self.gather(pair))))

    def agree(self, values):
        """Whether every host gave the same integers."""
        gathered = self.gather(values)
        return bool((gathered == gathered[0]).all())

    def explain(self, error):
        """A UserError where JAX tells that another host no longer takes part, or None."""
        if type(error).__name__ not in ("JaxRuntimeError", "XlaRuntimeError"):
            return None
        reason = str(error).splitlines()[0]
        return UserError(
            f"host {self.host} of {self.count}: the hosts lost each other ({reason}); "
            "see why the other one stopped, then start all of them with --resume"
        )

    def folder(self, out):
        """Folder of this host's run: `out`, or for the others a folder inside it."""
        return out if self.host == 0 else os.path.join(out, f"host-{self.host}")


@contextlib.contextmanager
def _stdout_to_stderr():
    """For what C++ code prints: stdout is for results."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
