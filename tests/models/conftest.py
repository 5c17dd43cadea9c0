import importlib.util
import pathlib

import keras
import pytest
from caffe_inception import CLASSES, FORMS, FRAMES, SIZE, made

from h2s_keras.models import HiddenTwoStreamBuilder, build_backbone


@pytest.fixture(autouse=True)
def float32_policy():
    """A test that sets a dtype policy does not change the next one."""
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def no_gradients():
    """For tests that read results with NumPy, which PyTorch refuses where gradients run."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def golden():
    """The module that made the golden tensors: `fill`, `clips`, `motion_net` ..."""
    path = pathlib.Path(__file__).parent / "golden" / "make_golden.py"
    spec = importlib.util.spec_from_file_location("make_golden", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Of the files test_caffe_bn_inception*.py: networks in Caffe's format, and ours to fill.


@pytest.fixture(scope="module", params=FORMS)
def rgb(request):
    return made(3, 1, request.param)


@pytest.fixture(scope="module")
def flow():
    return made(2 * (FRAMES - 1), 2, "BN")


@pytest.fixture(scope="module")
def stream():
    return build_backbone("bn_inception", (SIZE, SIZE, 3), CLASSES)


@pytest.fixture(scope="module")
def two_stream():
    builder = HiddenTwoStreamBuilder(CLASSES, FRAMES, (SIZE, SIZE)).motion("tiny")
    return builder.temporal("bn_inception").spatial("bn_inception").build()
