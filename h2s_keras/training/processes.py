import contextlib
import os
import sys

import keras
import numpy as np

from h2s_keras.errors import UserError


class Processes:
    """Processes that train one network together on the JAX backend.

    Each runs the same command with its own number, on one machine or on many. Each reads
    its share of every global batch, gradients are averaged by the compiled step, and
    weights stay equal.

    Args:
        count: number of processes.
        process: number of this one, from 0.
        coordinator: "ADDRESS:PORT" of process 0, reachable from all.

    Raises:
        UserError: for another backend, numbers that do not fit, or a coordinator that
            does not answer.

    Example:

    ```python
    processes = Processes(2, int(os.environ["PROCESS"]), "10.0.0.1:1234")
    batches = data.training(16, 0, seed, **processes.share())
    ```
    """

    def __init__(self, count, process, coordinator, timeout=300):
        if keras.backend.backend() != "jax":
            raise UserError(
                "many processes train through the JAX backend; set KERAS_BACKEND=jax (the "
                f"backend is {keras.backend.backend()})"
            )
        if not 0 <= process < count:
            raise UserError(f"--process must be 0 to {count - 1}; received {process}")
        if ":" not in (coordinator or ""):
            raise UserError(
                f"--coordinator must be ADDRESS:PORT of process 0; received {coordinator!r}"
            )
        import jax

        self.count, self.index = count, process
        # Between CPUs; GPUs talk through NCCL whatever this says.
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        try:
            jax.distributed.initialize(
                coordinator, count, process, initialization_timeout=timeout
            )
        except RuntimeError as error:
            raise UserError(
                f"process {process} of {count}: no connection through {coordinator} "
                f"({str(error).splitlines()[0]}); start process 0 too, and check the "
                "address"
            ) from error
        with _stdout_to_stderr():
            self.gather([process])  # Connects them all; Gloo reports it on stdout.
        self.distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
        keras.distribution.set_distribution(self.distribution)

    def share(self):
        """Arguments of `data.training` for this process's rows of every global batch."""
        return {"process": self.index, "processes": self.count}

    def rows(self, names):
        """This process's part of a list with an entry for each row of the global batch."""
        size = len(names) // self.count
        return names[self.index * size : (self.index + 1) * size]

    def gather(self, values):
        """The integers of every process, int (count, len(values))."""
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(np.asarray(values, "int32")))

    def any(self, flag):
        """Whether the flag is set on any process."""
        return bool(self.gather([int(flag)]).any())

    def least(self, pair):
        """The least pair of integers of all processes, by the first, then the second."""
        return tuple(int(value) for value in min(map(tuple, self.gather(pair))))

    def agree(self, values):
        """Whether every process gave the same integers."""
        gathered = self.gather(values)
        return bool((gathered == gathered[0]).all())

    def explain(self, error):
        """A UserError where JAX says that another process takes no part now, or None."""
        if type(error).__name__ not in ("JaxRuntimeError", "XlaRuntimeError"):
            return None
        reason = str(error).splitlines()[0]
        return UserError(
            f"process {self.index} of {self.count}: the processes lost each other "
            f"({reason}); see why the other one stopped, then start all of "
            "them with --resume"
        )

    def folder(self, out):
        """Folder of this process's run: `out`, or for the others a folder inside it."""
        return out if self.index == 0 else os.path.join(out, f"process-{self.index}")


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
