"""Exported pages and a headless Chromium."""

import contextlib
import functools
import os
import shutil

import pytest
from web_visit import FLAGS, Visit, write_webm


@pytest.fixture(scope="session")
def chromium():
    """`chromium(*flags)` starts one; a skip where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright, contextlib.ExitStack() as stack:

        @functools.cache
        def start(*flags):
            browser = playwright.chromium.launch(
                executable_path=path, args=[*FLAGS, *(flags or ("--disable-gpu",))]
            )
            stack.callback(browser.close)
            return browser

        yield start


@pytest.fixture
def visit(chromium):
    """`visit(address, flags=(), **options)`: a Visit in a new context of the browser."""
    with contextlib.ExitStack() as stack:

        def make(address, flags=(), **options):
            context = chromium(*flags).new_context(**options)
            stack.callback(context.close)
            return Visit(context.new_page(), address)

        yield make


@pytest.fixture(scope="session")
def runtime():
    """Folder of the npm package onnxruntime-web, or a skip."""
    folder = os.environ.get("H2S_KERAS_ONNXRUNTIME_WEB", "")
    if not os.path.isdir(folder):
        pytest.skip("needs the npm package onnxruntime-web: set H2S_KERAS_ONNXRUNTIME_WEB")
    return folder


@pytest.fixture(scope="session")
def make_page(chromium, runtime, tmp_path_factory):
    """`make_page(name, model)`: the folder of the exported page of a model."""
    pytest.importorskip("tf2onnx", reason="needs tf2onnx, of the extra `onnx`")
    from h2s_keras.export import export_web_page

    def make(name, model):
        folder = tmp_path_factory.mktemp("pages") / name
        export_web_page(model, folder, runtime)
        return folder

    return make


@pytest.fixture(scope="session")
def quickstart():
    from h2s_keras.models.presets import load_model

    return load_model("quickstart")


@pytest.fixture(scope="session")
def quickstart_page(make_page, quickstart):
    return make_page("quickstart", quickstart)


@pytest.fixture(scope="session")
def fine():
    """A network as the recipe `videos` trains it, made small, that tells clips apart."""
    import keras

    from h2s_keras.models import HiddenTwoStreamBuilder

    keras.utils.set_random_seed(5)
    builder = HiddenTwoStreamBuilder(["left", "right", "<b>up</b>"], 4, (32, 48))
    builder.motion("tiny_synthetic").temporal("small").spatial("small")
    protocol = {"clips": 3, "short": "hold", "decode_size": [32, 48]}
    return builder.build(frame_stride=2, frame_rate=10.0, test_protocol=protocol)


@pytest.fixture(scope="session")
def fine_page(make_page, fine):
    return make_page("fine", fine)


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    """A WebM of 40 frames of 96 x 144 at 25 a second."""
    return write_webm(tmp_path_factory.mktemp("videos") / "moving.webm", 40)
