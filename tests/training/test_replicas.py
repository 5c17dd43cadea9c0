"""Two mirrored replicas make the steps of one device, whatever the stage and precision."""

import json
import os
import subprocess
import sys

import keras
import pytest

SCRIPT = os.path.join(os.path.dirname(__file__), "replicas_script.py")
STAGES = ("motion", "temporal", "end_to_end", "spatial")

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute needs TensorFlow"
)


def compare(policy, *cases):
    done = subprocess.run(
        [sys.executable, SCRIPT, policy, *cases],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    results = {}
    for line in done.stdout.splitlines():
        results.update(json.loads(line))
    assert set(results) == set(cases)
    return results


def check_float32(results):
    for case, result in results.items():
        assert result["apart"] < 1e-5, (case, result)
        assert result["moved"] > 100 * result["apart"], (case, result)
        assert result["finite"], case
        one, two = result["one"], result["two"]
        for name in ("iterations", "batches", "bad_batch", "scale"):
            assert one[name] == two[name], (case, name)


@pytest.mark.long
def test_clipping_groups_decay_and_a_partial_batch_in_float32():
    results = compare("float32", "partial", "poisoned")
    check_float32(results)
    assert results["partial"]["two"]["iterations"] == 5
    # An infinite clip on the second replica stops both.
    assert results["poisoned"]["two"]["bad_batch"] == 2
    assert results["poisoned"]["two"]["iterations"] == 2


@pytest.mark.slow
def test_every_stage_in_float32_and_what_unsynchronized_statistics_would_do():
    results = compare("float32", *STAGES, "accumulated", "unsynchronized")
    control = results.pop("unsynchronized")
    assert control["apart"] > 1e-3  # Batch normalisation that each replica does alone.
    check_float32(results)
    one, two = results["accumulated"]["one"], results["accumulated"]["two"]
    assert two["iterations"] == 1
    assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_every_stage_in_mixed_precision(policy):
    """Bound: what the precision itself does.

    A replica rounds its part of a gradient to half precision before the sum, one device
    rounds the whole. Both stand apart from float32 by roundings of that kind, so two
    replicas may differ from one by as much as one differs from float32 after the same
    steps, and by no more.
    """
    results = compare(policy, *STAGES, "poisoned")
    poisoned = results.pop("poisoned")
    assert poisoned["finite"]
    assert poisoned["one"]["iterations"] == poisoned["two"]["iterations"]
    for case, result in results.items():
        assert result["apart"] <= result["rounding"], (case, result)
        assert 0 < result["rounding"] < result["moved"], (case, result)
        assert result["one"]["iterations"] == result["two"]["iterations"] == 5, case
