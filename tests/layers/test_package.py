import importlib
import pathlib
import pkgutil
import subprocess
import sys

import keras
import pytest
from checks import init_arguments

from h2s_keras import layers

ROOT = pathlib.Path(__file__).parents[2]

# One call with no argument at its default, for every layer.
ARGUMENTS = {
    "BackwardWarp": {"padding": "border", "return_mask": True},
    "CaffePooling": {"pool_size": 3, "strides": 2, "padding": 1, "mode": "average"},
    "FlowVolume": {"scale": 0.5},
    "ImagePreprocessing": {"mode": "caffe"},
    "LocalResponseNormalization": {"radius": 2, "bias": 2.0, "alpha": 0.3, "beta": 0.6},
    "MultiScaleFlowHead": {
        "num_pairs": 3,
        "filters": (8, 4),
        "scales": (1.0, 2.0, 3.0),
        "finest_level": 3,
        "intermediate_convolution": False,
        "flow_initializer": "zeros",
        "smooth_prefix": "between",
    },
    "MixedFlowLoss": {
        "unsupervised": layers.UnsupervisedFlowLoss(ssim_weight=0.5),
        "supervised": layers.SupervisedFlowLoss(alpha=0.3),
        "supervised_weight": 0.25,
    },
    "QuantizedFlowAdapter": {
        "bound": 9.0,
        "levels": 64,
        "scale": 4,
        "centre": 127.5,
        "padding": "zeros",
        "enlarge": False,
        "subtract_mean": True,
    },
    "SegmentConsensus": {"mode": "top_k", "k": 2},
    "SupervisedFlowLoss": {"level_weights": (2.0, 1.0), "alpha": 0.3},
    "SynchronizedBatchNormalization": {"frozen": True},
    "UnsupervisedFlowLoss": {
        "weighting": "released",
        "released_batch": 8,
        "photometric_weight": 0.5,
        "smoothness_weight": 0.25,
        "ssim_weight": 0.0,
        "border": 0.2,
        "padding": "border",
        "photometric": "census",
        "smoothness_order": 2,
        "edge_weight": 5.0,
        "occlusion": "range_map",
        "consistency_weight": 0.5,
    },
}


def test_every_layer_is_covered():
    assert sorted(ARGUMENTS) == sorted(layers.__all__)


def test_one_public_class_a_file():
    files = {module.name for module in pkgutil.iter_modules(layers.__path__)}
    assert len(files) == len(layers.__all__)
    for name in layers.__all__:
        module = sys.modules[getattr(layers, name).__module__]
        own = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module.__name__
        ]
        assert own == [name]
        assert module.__name__.rpartition(".")[2] == name[0].lower() + "".join(
            "_" + letter.lower() if letter.isupper() else letter for letter in name[1:]
        )


@pytest.mark.parametrize("name", layers.__all__)
def test_every_argument_is_in_the_config(name):
    cls = getattr(layers, name)
    arguments = ARGUMENTS[name]
    assert sorted(arguments) == sorted(init_arguments(cls))
    layer = cls(**arguments, name="own_name", dtype="mixed_float16")
    config = layer.get_config()
    for key, value in arguments.items():
        if key in ("flow_initializer", "unsupervised", "supervised"):
            value = keras.saving.serialize_keras_object(getattr(layer, key))
        assert config[key] == value
    revived = cls.from_config(config)
    assert revived.get_config() == config
    assert revived.name == "own_name" and revived.dtype_policy.name == "mixed_float16"


@pytest.mark.parametrize("name", layers.__all__)
def test_every_layer_survives_json(name):
    layer = getattr(layers, name)(**ARGUMENTS[name])
    text = keras.saving.serialize_keras_object(layer)
    revived = keras.saving.deserialize_keras_object(text)
    assert type(revived) is type(layer)
    assert revived.get_config() == layer.get_config()


@pytest.mark.parametrize("name", layers.__all__)
def test_every_layer_is_registered(name):
    cls = getattr(layers, name)
    assert keras.saving.get_registered_object(f"h2s_keras>{name}") is cls


@pytest.mark.parametrize("name", layers.__all__)
def test_every_docstring_has_its_parts(name):
    text = getattr(layers, name).__doc__
    for part in ("Args:", "Raises:", "Example:"):
        assert part in text
    for argument in ARGUMENTS[name]:
        assert argument in text


def test_the_link_at_the_root_cannot_be_imported():
    if not (ROOT / "layers" / "__init__.py").exists():
        pytest.skip("no link `layers` here: not a checkout of the repository")
    done = subprocess.run(
        [sys.executable, "-c", "import layers"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "ImportError: This folder is h2s_keras.layers" in done.stderr
    assert "Write `from h2s_keras import layers`." in done.stderr


def test_the_package_itself_can():
    assert importlib.import_module("h2s_keras.layers") is layers
