"""The `h2s` command as a process of its own that begins with TensorFlow imported.

Most tests of the command line ask what a command says, does and returns; importing
TensorFlow anew for each of them takes longer than all else. One server imports it and forks
a process for every command. How the command starts has tests that start it cold.
"""

import dataclasses
import multiprocessing
import os
import sys

_context = multiprocessing.get_context("forkserver")
# Not h2s_keras: the command puts off importing it, as a user's does.
_context.set_forkserver_preload(["tensorflow", "keras"])


@dataclasses.dataclass
class Done:
    """What a process left: its exit code and all that it said."""

    code: int
    out: str
    err: str

    @property
    def error_lines(self):
        return [line for line in self.err.splitlines() if line.strip()]


def run_warm(arguments, folder, cwd=None, timeout=300):
    """Runs `h2s ARGUMENTS`; `folder` takes the files that it writes its streams to.

    The environment is that of the first call, since the server starts then.
    """
    paths = [os.path.join(folder, name) for name in ("stdout", "stderr")]
    process = _context.Process(
        target=_command, args=([*map(str, arguments)], paths, os.fspath(cwd or os.getcwd()))
    )
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"h2s {arguments} took more than {timeout} s")
    texts = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            texts.append(file.read())
    return Done(process.exitcode, *texts)


def _command(arguments, paths, cwd):
    for number, path in enumerate(paths, start=1):
        stream = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ["COLUMNS"] = "100"
    sys.argv = ["h2s", *arguments]
    import h2s_keras_command

    h2s_keras_command.main()
