"""The `h2s` command as a real process, and one model trained for a few steps."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from test_readme import quickstart_command
from warm_process import Done, run_warm

# What the installed script `h2s` does, of this interpreter.
COMMAND = "import sys, h2s_keras_command as c; sys.argv[0] = 'h2s'; c.main()"


def run_h2s(*arguments, cwd=None, timeout=300):
    """`h2s ARGUMENTS` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def heavy_modules(arguments, cwd=None):
    """(Done, which of the heavy packages were imported) of a command from the start."""
    script = (
        "import sys, h2s_keras_command\n"
        f"sys.argv = {['h2s', *arguments]!r}\n"
        "try:\n    h2s_keras_command.main()\nfinally:\n"
        "    print(*({'keras', 'tensorflow', 'av', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, capture_output=True, text=True
    )
    *said, heavy = done.stdout.split("\n")[:-1]
    return Done(done.returncode, "\n".join(said), done.stderr), set(heavy.split())


@pytest.fixture
def h2s(tmp_path_factory):
    """`h2s(*arguments, cwd=None)`: the command, which finds TensorFlow imported."""
    folder = tmp_path_factory.mktemp("streams")
    return lambda *arguments, **options: run_warm(arguments, folder, **options)


@pytest.fixture(scope="session")
def cold_h2s():
    """The same from the very start, as a user's."""
    return run_h2s


@pytest.fixture(scope="session")
def smoke(made_once):
    """(what the README's `h2s quickstart`, with --smoke, said; the folder it left)"""
    call = shlex.split(quickstart_command().rsplit("&&", 1)[1])
    program = shutil.which("h2s", path=os.path.dirname(sys.executable))
    assert call[0] == ".venv/bin/h2s" and program

    def run(folder):
        done = subprocess.run(
            [program, *call[1:], "--smoke"],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "COLUMNS": "100"},
            stdin=subprocess.DEVNULL,
        )
        said = {"code": done.returncode, "out": done.stdout, "err": done.stderr}
        (folder / "said.json").write_text(json.dumps(said))

    folder = made_once("quickstart_in_small", run)
    done = Done(**json.loads((folder / "said.json").read_text()))
    assert done.code == 0, done.err
    return done, folder / call[call.index("--out") + 1]


def write_video(path, frames, size=(64, 80)):
    import av

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        picture = rng.integers(0, 256, (*size, 3)).astype("uint8")
        for number in range(frames):
            moved = np.roll(picture, 2 * number, axis=1)
            frame = av.VideoFrame.from_ndarray(moved, "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_sound(path):
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        samples = np.zeros((1, 4000), "int16")
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A folder of inputs: good.mp4, one.mp4, sound.wav, broken.mp4, a.png, b.png ..."""
    from h2s_keras.data.video.images import write_png

    folder = tmp_path_factory.mktemp("files")
    write_video(folder / "good.mp4", 12)
    write_video(folder / "one.mp4", 1)
    write_sound(folder / "sound.wav")
    (folder / "broken.mp4").write_bytes(b"not a video" * 100)
    (folder / "broken.keras").write_bytes(b"not a model")
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (48, 64, 3)).astype("uint8")
    write_png(folder / "a.png", picture)
    write_png(folder / "b.png", np.roll(picture, 1, axis=1))
    write_png(folder / "small.png", picture[:40])
    (folder / "nothing.py").write_text("x = 1\n")
    (folder / "settings.json").write_text(json.dumps({}))
    return folder
