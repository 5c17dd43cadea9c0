import keras
import numpy as np
import pytest
from checks import assert_close, to_numpy
from keras import ops

from h2s_keras.models import MotionNet
from h2s_keras.models.builder import HiddenTwoStreamBuilder
from h2s_keras.models.coarse_to_fine import (
    clip_pairs,
    coarse_to_fine_flows,
    pyramid_sizes,
    refined_flows,
    without_noise,
)


class Oracle:
    """Sees a step of the brightness ramp and answers with at most `reach` pixels of it.

    Frames hold x in red and y in green, so that motion can be read off exactly.
    """

    size_multiple = 8

    def __init__(self, reach):
        self.reach, self.sizes = reach, []

    def __call__(self, clips, training=None):
        clips = to_numpy(clips)
        first, second = clips[:, 0], clips[:, 1]
        height, width = first.shape[1:3]
        self.sizes.append((height, width))
        slope_x = (first[:, :, -1:, 0] - first[:, :, :1, 0]) / (width - 1)
        slope_y = (first[:, -1:, :, 1] - first[:, :1, :, 1]) / (height - 1)
        flow = np.stack(
            [
                (first - second)[..., 0] / slope_x,
                (first - second)[..., 1] / slope_y,
            ],
            axis=-1,
        )
        flow = np.clip(flow, -self.reach, self.reach)
        # At half the size, in pixels of it, as MotionNet answers.
        half = flow[:, ::2, ::2] / 2
        return {"flow2": ops.convert_to_tensor(half[:, None].astype("float32"))}


def ramps(move, height=64, width=96):
    y, x = np.mgrid[:height, :width].astype("float32")
    first = np.stack([x, y, 0 * x], axis=-1)
    second = np.stack([x - move[0], y - move[1], 0 * x], axis=-1)
    return np.stack([first, second])[None]


def test_large_motion_is_found_by_a_network_of_small_reach():
    clips = ramps((6.0, -3.0))
    plain = to_numpy(Oracle(1.5)(clips)["flow2"]) * 2
    assert np.abs(plain).max() <= 1.5
    oracle = Oracle(1.6)
    flow = to_numpy(coarse_to_fine_flows(oracle, clips, 8)["flow2"])
    assert flow.shape == (1, 1, 32, 48, 2)
    middle = 2 * flow[0, 0, 8:-8, 8:-8]
    assert_close(middle, np.broadcast_to([6.0, -3.0], middle.shape), atol=0.1)
    assert oracle.sizes == [(16, 24), (32, 48), (64, 96)]


def test_small_images_have_one_size():
    oracle = Oracle(9.0)
    coarse_to_fine_flows(oracle, ramps((1.0, 0.0), 24, 40), 8)
    assert oracle.sizes == [(24, 40)]
    assert pyramid_sizes(24, 40, 8) == [(24, 40)]


def test_pyramid_sizes_are_multiples_and_halve():
    assert pyramid_sizes(128, 128, 8) == [(16, 16), (32, 32), (64, 64), (128, 128)]
    assert pyramid_sizes(72, 104, 8) == [(16, 24), (32, 48), (72, 104)]


def test_pairs_are_neighbouring_frames_clip_by_clip():
    clips = np.arange(2 * 3).reshape(2, 3, 1, 1, 1).astype("float32")
    pairs = to_numpy(clip_pairs(ops.convert_to_tensor(clips)))
    assert pairs[..., 0, 0, 0].tolist() == [[0, 1], [1, 2], [3, 4], [4, 5]]


def test_size_must_be_known():
    pairs = keras.KerasTensor((None, 2, None, 64, 3))
    with pytest.raises(ValueError, match="needs the height and width"):
        coarse_to_fine_flows(lambda clips: clips, pairs, 8)


def test_second_pass_sees_what_is_left():
    clips = ramps((4.0, 2.0))
    oracle = Oracle(2.5)
    first = oracle(clips)
    again = to_numpy(refined_flows(oracle, clips, first)["flow2"])
    middle = 2 * again[0, 0, 4:-4, 4:-4]
    assert_close(middle, np.broadcast_to([4.0, 2.0], middle.shape), atol=0.05)


def small_net(num_frames, dtype=None):
    keras.utils.set_random_seed(1)
    network = MotionNet(num_frames, "tiny", coarse_to_fine=True, dtype=dtype)
    network.build((None, num_frames, 32, 32, 3))
    # Flow of random weights is near zero; larger, a pass changes what the next one sees.
    for convolution in network.head.flow_convolutions:
        convolution.kernel.assign(100.0 * convolution.kernel)
    return network


def noise(frames, height, width, batch=1):
    generator = np.random.default_rng(1)
    shape = (batch, frames, height, width, 3)
    return generator.integers(0, 256, shape, dtype="uint8")


def test_every_pair_of_a_clip_is_seen_by_itself():
    # Passes amplify what rounding does to flow of 30 pixels. JAX has no float64 here.
    exact = keras.backend.backend() != "jax"
    motion_net = small_net(4, "float64" if exact else "float32")
    clips = noise(4, 32, 40, batch=2)
    flows = motion_net(clips)
    assert tuple(flows["flow2"].shape) == (2, 3, 16, 20, 2)
    pair_net = motion_net.with_num_frames(2)
    for clip, pair in ((0, 0), (1, 2)):
        alone = pair_net(clips[clip : clip + 1, pair : pair + 2])
        for name, flow in alone.items():
            assert_close(
                to_numpy(flows[name])[clip, pair],
                to_numpy(flow)[0, 0],
                atol=1e-5 if exact else 1e-4,
            )
    single = to_numpy(pair_net.single_pass(clips[:1, :2])["flow2"])
    assert np.abs(to_numpy(flows["flow2"])[0, 0] - single[0, 0]).max() > 1e-3


def test_any_size_and_the_config():
    motion_net = small_net(2)
    flow = motion_net.estimate_flow(noise(2, 61, 83))
    assert flow.shape == (1, 1, 61, 83, 2) and np.isfinite(flow).all()
    assert MotionNet.from_config(motion_net.get_config()).coarse_to_fine


def test_flow_of_a_coarse_pass_is_handed_on_in_pixels_of_the_next():
    base = np.full((1, 1, 8, 8, 2), 0.25, "float32")
    passes = []

    def single_pass(clips):
        passes.append(clips.shape[2])
        if len(passes) == 1:
            return {"flow2": ops.convert_to_tensor(base)}
        return {"flow2": ops.zeros((1, 1, 16, 16, 2))}

    clips = noise(2, 32, 32).astype("float32")
    flow = coarse_to_fine_flows(single_pass, ops.convert_to_tensor(clips), 8)["flow2"]
    assert passes == [16, 32]
    # 0.25 px at 1/4 of the size is 0.5 px at half of it.
    assert_close(to_numpy(flow), np.full((1, 1, 16, 16, 2), 0.5), atol=1e-5)


def test_branched_needs_one_pass_over_all_frames():
    builder = HiddenTwoStreamBuilder(2, 4, (32, 32)).motion("tiny", coarse_to_fine=True)
    with pytest.raises(ValueError, match="branched variant reads the encoder"):
        builder.temporal("tiny", branched=True).build()


def test_weights_of_one_pass_belong_to_their_frames():
    with pytest.raises(ValueError, match="cannot take 5"):
        MotionNet(3, "tiny").with_num_frames(5)


def filled(golden, **options):
    network = MotionNet(2, "tiny", coarse_to_fine=True, **options)
    network.build((None, 2, None, None, 3))
    return golden.fill(network)


def test_sizes_may_change_from_call_to_call(golden):
    """TensorFlow would compile one function for all sizes: the passes have no number."""
    network = filled(golden)
    sizes = [(16, 24), (40, 32), (24, 24), (16, 24), *((16, 8 * n) for n in range(4, 12))]
    for size in sizes:
        clips = golden.clips(1, 2, size)
        expected = to_numpy(network(clips)["flow2"])
        for found in (network.predict_on_batch(clips), network.predict(clips, verbose=0)):
            np.testing.assert_allclose(found["flow2"], expected, atol=1e-4)
    assert network.estimate_flow(golden.clips(1, 2, (33, 50))).shape == (1, 1, 33, 50, 2)


def test_a_function_of_a_size_follows_what_compile_sets(golden):
    network = filled(golden)
    clips = golden.clips(1, 2, (16, 16))
    expected = network.predict_on_batch(clips)["flow2"]
    network.compile(run_eagerly=True)
    np.testing.assert_allclose(
        network.predict_on_batch(clips)["flow2"], expected, atol=1e-4
    )
    network.set_weights([0.5 * value for value in network.get_weights()])
    changed = network.predict_on_batch(clips)["flow2"]
    assert np.abs(changed - expected).max() > 1e-3


def test_motion_is_shrunk_by_the_difference_around_it_alone():
    """By hand: the gain of each place of a grid, from NumPy's means of squares."""
    random = np.random.default_rng(5)
    pairs = random.integers(0, 256, (2, 2, 16, 24, 3)).astype("uint8")
    pairs[:, 1, :, :12] = pairs[:, 0, :, :12]
    pairs[1, 1] = pairs[1, 0] // 2 + pairs[1, 1] // 2
    flows = {
        "flow2": random.normal(size=(2, 1, 8, 12, 2)).astype("float32"),
        "flow4": random.normal(size=(2, 1, 2, 3, 2)).astype("float32"),
    }
    found = without_noise(
        {name: ops.convert_to_tensor(flow) for name, flow in flows.items()},
        ops.convert_to_tensor(pairs),
        3.0,
    )
    squares = ((pairs[:, 1].astype("float64") - pairs[:, 0]) ** 2).mean(-1)
    for name, stride in (("flow2", 2), ("flow4", 8)):
        height, width = 16 // stride, 24 // stride
        means = squares.reshape(2, height, stride, width, stride).mean((2, 4))
        edged = np.pad(means, ((0, 0), (1, 1), (1, 1)), "edge")
        around = np.mean(
            [edged[:, y : y + height, x : x + width] for y in range(3) for x in range(3)], 0
        )
        expected = flows[name] * (around / (around + 9.0))[:, None, ..., None]
        np.testing.assert_allclose(to_numpy(found[name]), expected, rtol=1e-4, atol=1e-5)
    # Nothing differs in the left half of the first pair, and everything in the right.
    assert (to_numpy(found["flow2"])[0, :, :, :4] == 0).all()
    assert (np.abs(to_numpy(found["flow2"])[0, :, :, 8:]) > 0).all()


def test_a_noise_floor_keeps_still_pictures_still(golden):
    clips = np.repeat(golden.clips(1, 1, (16, 24)), 2, axis=1)
    plain, floored = filled(golden), filled(golden, noise_floor=2.0)
    assert np.abs(to_numpy(plain(clips)["flow2"])).max() > 0.01
    assert np.abs(to_numpy(floored(clips)["flow2"])).max() == 0
    assert floored.with_num_frames(3).noise_floor == 2.0


@pytest.mark.parametrize(
    ("options", "received"),
    [
        ({"noise_floor": -1.0, "coarse_to_fine": True}, "noise_floor=-1.0"),
        ({"noise_floor": 2.0}, "coarse_to_fine=False"),
    ],
)
def test_a_noise_floor_that_cannot_be(options, received):
    with pytest.raises(ValueError, match=f"noise_floor must be 0 or more.*{received}"):
        MotionNet(2, "tiny", **options)
