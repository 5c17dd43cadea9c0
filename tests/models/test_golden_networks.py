"""Stored outputs of reduced BN-Inception, Inception-v1 and I3D, on every backend."""

import keras
import numpy as np
import pytest
from checks import assert_survives_file, jitted, to_numpy

NAMES = ("bn_inception", "inception_v1", "i3d_flow", "i3d_rgb")


@pytest.mark.parametrize("name", NAMES)
def test_golden_maps_and_precisions(golden, tmp_path, name):
    build, shape = golden.NETWORKS[name]
    network, images = build(), golden.images(shape)
    stored = np.load(golden.FOLDER / f"{name}.npz")["maps"]
    size = np.abs(stored).max()
    assert size > 1e-2 and (stored > 0).mean() > 0.1
    run = jitted(network)
    np.testing.assert_allclose(to_numpy(run(images)), stored, atol=2e-3 * size)
    # Another image gives another map: the stored one is no constant of the weights.
    assert np.abs(to_numpy(run(-images)) - stored).max() > 0.01 * size
    assert_survives_file(network, images, tmp_path)
    assert run(images[:1]).shape[0] == 1
    for policy, bound in (("mixed_float16", 0.05), ("mixed_bfloat16", 0.2)):
        keras.config.set_dtype_policy(policy)
        half = to_numpy(jitted(build())(images))
        assert np.abs(half - stored).max() < bound * size, policy


def test_every_network_has_a_file(golden):
    assert sorted(golden.NETWORKS) == sorted(NAMES)
