"""BN-Inception against the published table, written down here once more."""

import keras
import numpy as np
import pytest
from checks import assert_differs, assert_survives_file, dtype_of, jitted, to_numpy

from h2s_keras.layers.synchronized_batch_normalization import (
    SynchronizedBatchNormalization,
)
from h2s_keras.models.bn_inception import bn_inception

# Ioffe & Szegedy 2015, figure 5, with the depths of the released network: block, 1x1,
# 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool projection (0: absent), depth.
PUBLISHED = """
    3a   64   64   64   64   96   32  256
    3b   64   64   96   64   96   64  320
    3c    0  128  160   64   96    0  576
    4a  224   64   96   96  128  128  576
    4b  192   96  128   96  128  128  576
    4c  160  128  160  128  160  128  608
    4d   96  128  192  160  192  128  608
    4e    0  128  192  192  256    0 1056
    5a  352  192  320  160  224  128 1024
    5b  352  192  320  192  224  128 1024
"""


def published(channels):
    """(released name, kernel side, channels in, filters) of every convolution."""
    rows = [
        ("conv1/7x7_s2", 7, channels, 64),
        ("conv2/3x3_reduce", 1, 64, 64),
        ("conv2/3x3", 3, 64, 192),
    ]
    depth = 192
    for line in PUBLISHED.split("\n")[1:-1]:
        name, *numbers = line.split()
        single, reduce, triple, double_reduce, double, projection, after = map(int, numbers)
        block = [
            ("1x1", 1, depth, single),
            ("3x3_reduce", 1, depth, reduce),
            ("3x3", 3, reduce, triple),
            ("double_3x3_reduce", 1, depth, double_reduce),
            ("double_3x3_1", 3, double_reduce, double),
            ("double_3x3_2", 3, double, double),
            ("pool_proj", 1, depth, projection),
        ]
        rows += [(f"inception_{name}/{part}", *row) for part, *row in block if row[2]]
        passed = 0 if projection else depth
        assert single + triple + double + projection + passed == after
        depth = after
    return rows


def images(count=4, size=(64, 64), channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 50, (count, *size, channels)).astype("float32")


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(1)
    return bn_inception((None, None, 3), width=0.125)


@pytest.mark.parametrize("channels", [3, 20])
def test_every_layer_has_the_published_name_and_size(channels):
    model = bn_inception((64, 64, channels))
    assert model.output_shape == (None, 2, 2, 1024)
    table = published(channels)
    total = 0
    for name, side, inputs, filters in table:
        convolution = model.get_layer(name.replace("/", "_"))
        assert convolution.kernel.shape == (side, side, inputs, filters), name
        # Weights, bias, and scale, shift, mean and variance of the batch normalisation.
        total += side * side * inputs * filters + 5 * filters
    assert model.count_params() == total
    names = [row[0] for row in table]
    names = [name.replace("/", "_") for name in names]
    found = [layer.name for layer in model.layers if layer.weights]
    assert sorted(found) == sorted([*names, *(f"{name}_bn" for name in names)])
    assert len(found) == 138
    if channels == 3:
        assert total == 10_290_272  # what the docstring says


def test_normalisation_is_caffes_and_the_last_block_pools_its_maximum(small):
    for layer in small.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.epsilon, layer.momentum) == (1e-5, 0.9) and not layer.frozen
    kinds = {
        layer.name: layer.mode for layer in small.layers if layer.name.endswith("_pool")
    }
    maximum = {name for name, mode in kinds.items() if mode == "max"}
    assert len(kinds) == 10
    assert maximum == {f"inception_{block}_pool" for block in ("3c", "4e", "5b")}


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_any_number_and_size_of_images(small, size):
    maps = to_numpy(jitted(small)(images(2, size)))
    assert maps.shape == (2, size[0] // 32, size[1] // 32, 128)
    assert np.isfinite(maps).all() and maps.std() > 0
    alone = to_numpy(jitted(small)(images(2, size)[1:]))
    np.testing.assert_allclose(maps[1:], alone, rtol=1e-4, atol=1e-5 * maps.max())


def test_sides_that_are_no_multiples_of_32():
    with pytest.raises(ValueError, match=r"multiples of 32; received .*\(48, 64, 3\)"):
        bn_inception((48, 64, 3))


def test_keras_file_round_trip(tmp_path):
    keras.utils.set_random_seed(2)
    model = bn_inception((32, 32, 4), width=0.125, partial_batch_normalization=True)
    loaded = assert_survives_file(model, images(2, (32, 32), 4), tmp_path)
    frozen = [
        layer.frozen
        for layer in loaded.layers
        if isinstance(layer, SynchronizedBatchNormalization)
    ]
    assert frozen == [False] + [True] * 68


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_near_float32(small, policy):
    keras.config.set_dtype_policy(policy)
    half = bn_inception((64, 64, 3), width=0.125)
    half.set_weights(small.get_weights())
    inputs = images(2)
    maps, expected = jitted(half)(inputs), to_numpy(jitted(small)(inputs))
    assert dtype_of(maps) == policy.removeprefix("mixed_")
    error = np.abs(to_numpy(maps) - expected).max() / np.abs(expected).max()
    # 22 layers deep; units in the last place of float16 are 1e-3, of bfloat16 8e-3.
    assert error < (0.02 if policy == "mixed_float16" else 0.2), error


@pytest.mark.long
@pytest.mark.parametrize("partial", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_training_step(partial):
    """All kernels learn; under partial normalisation only the first statistics move."""
    keras.utils.set_random_seed(3)
    model = bn_inception((64, 64, 3), 0.125, partial_batch_normalization=partial)
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    layers = [layer for layer in model.layers if layer.weights]
    before = [layer.get_weights() for layer in layers]
    inputs = images() / 50
    shape = (4, *model.output_shape[1:])
    targets = np.random.default_rng(4).normal(size=shape).astype("float32")
    loss = model.train_on_batch(inputs, targets)
    assert np.isfinite(loss)
    normalisations = 0
    for layer, old in zip(layers, before, strict=True):
        new = layer.get_weights()
        assert all(np.isfinite(value).all() for value in new), layer.name
        if isinstance(layer, keras.layers.Conv2D):
            assert_differs(new[0], old[0], by=0)
            continue
        assert_differs(new[1], old[1], by=0)
        for statistic in (2, 3):
            moved = np.abs(new[statistic] - old[statistic]).max() > 0
            assert moved == (not partial or normalisations == 0), layer.name
        normalisations += 1
    assert normalisations == 69
