import importlib.util
import pathlib

import keras
import pytest


@pytest.fixture(autouse=True)
def float32_policy():
    """A test that sets a dtype policy does not change the next one."""
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def golden():
    """The module that made the golden tensors: `fill`, `clips`, `motion_net` ..."""
    path = pathlib.Path(__file__).parent / "golden" / "make_golden.py"
    spec = importlib.util.spec_from_file_location("make_golden", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
