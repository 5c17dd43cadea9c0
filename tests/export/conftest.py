"""Small networks, their exports, and scripts run in processes of their own."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent
CLASSES = ["jump", "run", "spin around", "ärgern"]


@pytest.fixture(autouse=True)
def float32_policy():
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")


def make_model(spatial="tiny", temporal="tiny", branched=False, classes=CLASSES, **fusion):
    """A network of 3 frames of 32 x 32 with random weights that tell clips apart."""
    from h2s_keras.models import HiddenTwoStreamBuilder

    keras.utils.set_random_seed(3)
    builder = HiddenTwoStreamBuilder(classes, 3, (32, 32)).motion("tiny")
    builder.temporal(temporal, branched=branched).fusion(**fusion)
    if spatial is not None:
        builder.spatial(spatial)
    model = builder.build()
    # As initialised, flow is next to zero and all clips would get one answer.
    for convolution in model.motion.head.flow_convolutions:
        convolution.kernel.assign(convolution.kernel * 30.0)
    return model


def make_coarse_to_fine(**options):
    """A network as the recipe `videos` makes it: trained flow of pairs, coarse to fine."""
    from h2s_keras.models import HiddenTwoStreamBuilder

    keras.utils.set_random_seed(4)
    builder = HiddenTwoStreamBuilder(CLASSES, 4, (32, 48)).motion("tiny_synthetic")
    builder.adapter(subtract_mean=True)
    return builder.temporal("small").spatial("small").build(**options)


def make_clips(count, seed=0, size=(32, 32)):
    shape = (count, 3, *size, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


def softmax(logits):
    return np.asarray(keras.ops.softmax(np.asarray(logits, "float32")))


def run_script(name, *arguments, check=True):
    """Runs a script of this folder in a process of its own; its last line is JSON."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, str(HERE / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    if not check:
        return done
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def build():
    return make_model


@pytest.fixture(scope="session")
def coarse_to_fine():
    return make_coarse_to_fine(
        frame_stride=2,
        frame_rate=12.5,
        test_protocol={"clips": 7, "short": "hold", "decode_size": [32, 48]},
    )


@pytest.fixture(scope="session")
def clips_of():
    return make_clips


@pytest.fixture(scope="session")
def script():
    return run_script


@pytest.fixture(scope="session")
def two_stream():
    return make_model()


@pytest.fixture(scope="session")
def exported(two_stream, tmp_path_factory):
    """The folder of versions of `two_stream`, with version 1; read only."""
    from h2s_keras.export import export_saved_model

    directory = tmp_path_factory.mktemp("models") / "h2s"
    assert export_saved_model(two_stream, directory, top_k=3) == str(directory / "1")
    return directory


@pytest.fixture(scope="session")
def answers(two_stream):
    """What the Keras model says of uint8 clips, under the names of the signatures."""

    def of(clips):
        outputs = two_stream.predict_on_batch(clips)
        flow = np.transpose(outputs["flow2"], (0, 2, 3, 1, 4)) * 2.0
        probabilities = softmax(outputs["logits"])
        order = np.argsort(-probabilities, axis=-1)[:, :3]
        return {
            "logits": outputs["logits"],
            "probabilities": probabilities,
            "classes": np.array(CLASSES)[order],
            "scores": np.take_along_axis(probabilities, order, axis=-1),
            "flow": flow,
        }

    return of


@pytest.fixture(scope="session")
def jpeg_frames():
    """Frames (time, height, width, 3) as a list of JPEG files."""
    import tensorflow as tf

    def of(frames):
        return [tf.io.encode_jpeg(frame, quality=95).numpy() for frame in frames]

    return of


@pytest.fixture
def video(tmp_path):
    """A video of 8 frames of noise, 48 x 64."""
    import av

    path = tmp_path / "noise.avi"
    frames = np.random.default_rng(1).integers(0, 256, (8, 48, 64, 3), dtype="uint8")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return str(path)
