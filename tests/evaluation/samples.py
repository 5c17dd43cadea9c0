"""A tiny network and short videos that tests of evaluation and of its commands share."""

import contextlib
import http.server
import threading

import keras
import numpy as np

CLASSES = ("left", "right")


def make_network(seed=0):
    """Untrained two-stream network of 3 frames at 32x32 with class names."""
    from h2s_keras.models import HiddenTwoStreamBuilder

    keras.utils.set_random_seed(seed)
    builder = HiddenTwoStreamBuilder(CLASSES, 3, (32, 32)).motion("tiny")
    builder.temporal("tiny", dropout=0.0).spatial("tiny", dropout=0.0)
    return builder.build()


def write_video(path, frames=9, size=(40, 56), shift=2, seed=0):
    """Noise that moves `shift` pixels a frame to the right."""
    import av

    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype("uint8")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        for number in range(frames):
            moved = np.roll(picture, shift * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, "rgb24")))
        container.mux(stream.encode())


def write_class_folders(root, each=3):
    """root/left/p1.mp4 ... root/right/p3.mp4; the number is the group."""
    for label, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(1, each + 1):
            shift = 2 if label else -2
            write_video(root / name / f"p{number}.mp4", 9 + number, (40, 56), shift, number)


def write_flow_folder(root):
    """Middlebury's layout: a picture, the same moved by (2, 1), and unknown pixels."""
    from h2s_keras.data import write_flow, write_png

    for number, name in enumerate(("one", "two")):
        (root / name).mkdir(parents=True)
        rng = np.random.default_rng(number)
        picture = rng.integers(0, 256, (24, 32, 3)).astype("uint8")
        write_png(root / name / "frame10.png", picture)
        moved = np.roll(picture, (1, 2), axis=(0, 1))
        write_png(root / name / "frame11.png", moved)
        flow = np.full((24, 32, 2), (2.0, 1.0), "float32")
        flow[:, -2:] = np.nan
        flow[-1] = np.nan
        write_flow(root / name / "flow10.flo", flow)


@contextlib.contextmanager
def served(folder):
    """The address of a folder that is served over http, as a network camera would be."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
