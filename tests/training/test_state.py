"""Saved states: whole or absent, checked, and two of them kept."""

import keras
import numpy as np
import pytest

from h2s_keras.errors import UserError
from h2s_keras.training import state as state_module
from h2s_keras.training.run_folder import RunFolder
from h2s_keras.training.stages import newest_state
from h2s_keras.training.state import find_states, read_state, restore_state, save_state


@pytest.fixture
def model():
    """A small compiled model with a random layer and optimiser slots."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.5, seed=1)]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.1), loss="mse")
    model.optimizer.build(model.trainable_variables)
    model.train_on_batch(np.ones((4, 3)), np.ones((4, 2)))
    return model


def values(model):
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def test_everything_comes_back_bit_for_bit(tmp_path, model):
    before = values(model)
    path = save_state(tmp_path, 1, 30, model)
    assert path.endswith("state-01-00000030.npz")
    model.train_on_batch(np.ones((4, 3)), np.zeros((4, 2)))
    changed = sum(
        not np.array_equal(a, b) for a, b in zip(before, values(model), strict=True)
    )
    assert changed > 5  # kernel, bias, moments, seed and iterations move
    restore_state(model, read_state(path))
    for one, two in zip(before, values(model), strict=True):
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


def test_only_the_newest_two_are_kept(tmp_path, model):
    for stage, step in ((0, 10), (0, 20), (0, 100), (1, 0), (1, 5)):
        save_state(tmp_path, stage, step, model)
    assert [(stage, step) for stage, step, _ in find_states(tmp_path)] == [(1, 5), (1, 0)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "state-01-00000000.npz",
        "state-01-00000005.npz",
    ]


def test_a_failed_write_leaves_the_old_state_and_no_rubbish(tmp_path, model, monkeypatch):
    save_state(tmp_path, 0, 10, model)
    kept = read_state(find_states(tmp_path)[0][2])

    def half(file, **arrays):
        file.write(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr(state_module.np, "savez", half)
    for step in (10, 20):  # also when the very same name is written again
        with pytest.raises(UserError, match="could not be written .disk full.*--resume"):
            save_state(tmp_path, 0, step, model)
    assert [path.name for path in tmp_path.iterdir()] == ["state-00-00000010.npz"]
    for one, two in zip(kept, read_state(find_states(tmp_path)[0][2]), strict=True):
        np.testing.assert_array_equal(one, two)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def change_a_value(path):
    """A file that is whole as a zip, with one weight changed."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["v0"] = arrays["v0"] + np.float32(1e-6)
    np.savez(path, **arrays)


def drop_a_value(path):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "v1"}
    np.savez(path, **arrays)


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [cut, empty, change_a_value, drop_a_value, flip_a_bit])
def test_a_damaged_state_is_named_and_the_one_before_is_taken(
    tmp_path, model, caplog, damage
):
    (tmp_path / "config.json").write_text("{}")
    run = RunFolder(tmp_path, resume=True)
    save_state(tmp_path, 0, 10, model)
    good = values(model)
    model.train_on_batch(np.ones((4, 3)), np.zeros((4, 2)))
    save_state(tmp_path, 0, 20, model)
    assert newest_state(run)[:2] == (0, 20)
    newest = tmp_path / "state-00-00000020.npz"
    damage(newest)
    with pytest.raises(UserError, match="00000020.npz: damaged training state"):
        read_state(newest)
    with caplog.at_level("WARNING", logger="absl"):
        stage, step, arrays = newest_state(run)
    assert (stage, step) == (0, 10)
    assert "00000020.npz: damaged training state" in caplog.text
    for one, two in zip(good, arrays, strict=True):
        np.testing.assert_array_equal(one, two)


def test_without_a_state_a_run_starts_and_with_damaged_ones_alone_it_does_not(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    run = RunFolder(tmp_path, resume=True)
    assert newest_state(run) == (0, 0, None)
    empty(tmp_path / "state-00-00000010.npz")
    with pytest.raises(UserError, match="none of its saved states can be read"):
        newest_state(run)


def test_a_state_of_another_model_is_refused(tmp_path, model):
    path = save_state(tmp_path, 0, 1, model)
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)])
    other.compile(optimizer="sgd", loss="mse")
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(UserError, match="belongs to another model or configuration"):
        restore_state(other, read_state(path))


def test_bfloat16_weights_survive(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="bfloat16")])
    model.compile(optimizer="sgd", loss="mse")
    model.optimizer.build(model.trainable_variables)
    kernel = np.asarray(keras.ops.cast(model.layers[0].kernel, "float32"))
    path = save_state(tmp_path, 0, 1, model)
    model.layers[0].kernel.assign(keras.ops.zeros((3, 2), "bfloat16"))
    restore_state(model, read_state(path))
    again = np.asarray(keras.ops.cast(model.layers[0].kernel, "float32"))
    np.testing.assert_array_equal(again, kernel)
    assert np.abs(kernel).max() > 0
