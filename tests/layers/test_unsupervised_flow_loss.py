import pathlib

import keras
import numpy as np
import pytest
import reference
from checks import (
    POLICIES,
    assert_close,
    assert_differs,
    assert_survives_config,
    assert_survives_file,
    compiled,
    dtype_of,
    jitted,
    only_tensorflow,
    served,
    to_numpy,
)
from gradient import directional_difference, gradient
from keras import ops

from h2s_keras.layers import UnsupervisedFlowLoss

RANDOM = np.random.default_rng(17)
LEVELS = ("flow2", "flow3", "flow4", "flow5", "flow6")
FIVE = ((12, 16), (9, 8), (4, 6), (2, 3), (2, 2))
TERMS = ("photometric", "smoothness", "ssim", "total")


def random_clips(count=2, frames=3, size=(20, 24)):
    return RANDOM.integers(0, 256, (count, frames, *size, 3), dtype="uint8")


def random_flows(count=2, pairs=2, sizes=FIVE[:2]):
    flows = (RANDOM.uniform(-2, 2, (count, pairs, *size, 2)) for size in sizes)
    return dict(zip(LEVELS, (flow.astype("float32") for flow in flows), strict=False))


def moving_clips(move, frames=3, size=64):
    """A smooth pattern that moves by (x, y) pixels from frame to frame."""
    y, x = np.meshgrid(np.arange(float(size)), np.arange(float(size)), indexing="ij")
    clip = []
    for time in range(frames):
        at_x, at_y = x - time * move[0], y - time * move[1]
        waves = [
            np.sin(0.33 * at_x + 0.21 * at_y + phase) + np.cos(0.27 * at_y - 0.15 * at_x)
            for phase in (0.0, 1.0, 2.0)
        ]
        clip.append(127.5 + 55 * np.stack(waves, axis=-1))
    return np.asarray(clip, "float32")[None]


def constant_flows(move, levels=3, pairs=2, size=64):
    flows = {}
    for index, name in enumerate(LEVELS[:levels]):
        shrink = 2 ** (index + 1)
        shape = (1, pairs, size // shrink, size // shrink, 2)
        flows[name] = np.zeros(shape, "float32") + np.array(move, "float32") / shrink
    return flows


def evaluate(layer, clips, flows, smoothness_scale=1.0):
    return jitted(layer)(clips, flows, smoothness_scale=smoothness_scale)


def functional(layer):
    clips = keras.Input((3, None, None, 3), dtype="uint8")
    flows = {name: keras.Input((2, None, None, 2), name=name) for name in LEVELS[:2]}
    return keras.Model([clips, flows], layer(clips, flows))


@pytest.mark.parametrize("padding", ["zeros", "border"])
@pytest.mark.parametrize("weighting", ["paper", "released"])
def test_all_terms_on_all_levels_against_the_reference(weighting, padding):
    clips, flows = random_clips(), random_flows(sizes=FIVE)
    actual = evaluate(UnsupervisedFlowLoss(weighting, padding=padding), clips, flows)
    expected = reference.loss(clips, flows.values(), weighting, padding=padding)
    assert sorted(actual) == sorted(TERMS)
    assert_close(actual, {name: expected[name] for name in actual}, rtol=2e-4, atol=1e-4)
    for wrong in (
        {name: -flow for name, flow in flows.items()},
        {name: flow[..., ::-1] for name, flow in flows.items()},
    ):
        other = reference.loss(clips, wrong.values(), weighting, padding=padding)
        assert_differs(actual["photometric"], other["photometric"])


def test_the_two_weightings_are_not_the_same():
    clips, flows = random_clips(), random_flows()
    paper, released = (
        evaluate(UnsupervisedFlowLoss(w), clips, flows) for w in ("paper", "released")
    )
    for name in TERMS:
        assert_differs(paper[name], released[name])


@pytest.fixture(scope="module")
def golden():
    """A clip, its flows and the losses of the released graph, from an interpreter of it.

    Per level (photometric, SSIM, smoothness of U, of V), unweighted, for a batch of two.
    """
    path = pathlib.Path(__file__).parents[1] / "oracles" / "released_loss.npz"
    with np.load(path) as file:
        return dict(file)


@pytest.mark.parametrize("level", range(2, 7))
def test_released_is_the_released_graph_at_every_level(golden, level):
    photometric, ssim, smooth_u, smooth_v = golden[f"losses{level}"]
    # Levels are weighted by their order, so those below come along, and are taken off.
    flows = {f"flow{n}": golden[f"flow{n}"].astype("float32") for n in range(2, level + 1)}
    layer = UnsupervisedFlowLoss("released", released_batch=2)
    actual = to_numpy(evaluate(layer, golden["clips"], flows))
    del flows[f"flow{level}"]
    below = to_numpy(evaluate(layer, golden["clips"], flows)) if flows else {}
    expected = {
        "photometric": photometric,
        "smoothness": smooth_u + smooth_v,
        "ssim": reference.GROWING[level - 2] * ssim,
    }
    for name, value in expected.items():
        one = actual[name].mean() - (below[name].mean() if flows else 0.0)
        # 1 - SSIM of float32 is off by up to 1e-7 per patch and channel.
        assert one == pytest.approx(value, rel=1e-5, abs=2e-6), name


def test_the_reference_is_the_released_graph(golden):
    flows = [golden[f"flow{n}"] for n in range(2, 7)]
    terms = reference.loss(golden["clips"], flows, "released", batch=2)
    losses = np.stack([golden[f"losses{n}"] for n in range(2, 7)])
    for name, value in (
        ("photometric", losses[:, 0].sum()),
        ("smoothness", losses[:, 2:].sum()),
        ("ssim", (losses[:, 1] * reference.GROWING).sum()),
    ):
        assert terms[name].mean() == pytest.approx(value, rel=1e-6), name


def test_both_released_batches_have_names():
    clips, flows = random_clips(), random_flows()
    terms = {
        batch: to_numpy(
            evaluate(UnsupervisedFlowLoss("released", released_batch=batch), clips, flows)
        )
        for batch in ("motion", 16, "end_to_end", 8)
    }
    assert_close(terms["motion"], terms[16], rtol=0, atol=0)
    assert_close(terms["end_to_end"], terms[8], rtol=0, atol=0)
    for name, factor in (("photometric", 2), ("smoothness", 2), ("ssim", 1)):
        assert_close(terms[8][name], factor * terms[16][name], rtol=1e-6)


@pytest.mark.parametrize("batch", ["motion", "end_to_end"])
def test_released_on_the_kept_clip(real_data, batch):
    """Every level of 11 frames of 224x224 against what the released prototxt gives."""
    state = np.load(real_data("..", "oracles", "release_state.npz"))
    losses = np.load(real_data("..", "oracles", "release_losses.npz"))
    layer = UnsupervisedFlowLoss("released", released_batch=batch)
    divisor = {"motion": 16, "end_to_end": 8}[batch]
    before = dict.fromkeys(TERMS, 0.0)
    for level in range(2, 7):
        flows = {f"flow{n}": state[f"flow{n}"] for n in range(2, level + 1)}
        sums = to_numpy(evaluate(layer, state["clips"], flows))
        smooth = sum(losses[f"SmoothnessLoss{part}{level}"][0] for part in "UV")
        for name, value in (
            ("photometric", losses[f"PhotometricLoss{level}"][0] / divisor),
            ("smoothness", smooth / divisor),
            ("ssim", np.prod(losses[f"SSIMLoss{level}"])),
        ):
            one = float(sums[name][0]) - before[name]
            assert one == pytest.approx(value, rel=1e-5), (name, level)
            before[name] = float(sums[name][0])


def test_a_level_of_one_pixel_is_finite():
    for weighting in ("paper", "released"):
        flows = random_flows(sizes=((1, 1),))
        terms = evaluate(UnsupervisedFlowLoss(weighting), random_clips(), flows)
        assert np.isfinite(to_numpy(terms)["total"]).all()


@pytest.mark.parametrize("name", TERMS[:3])
def test_factors_scale_their_term_and_zero_leaves_it_out(name):
    clips, flows = random_clips(), random_flows()
    plain = to_numpy(evaluate(UnsupervisedFlowLoss(), clips, flows))
    for factor in (2.5, 0.0):
        layer = UnsupervisedFlowLoss(**{f"{name}_weight": factor})
        actual = to_numpy(evaluate(layer, clips, flows))
        expected = plain | {name: factor * plain[name]}
        expected["total"] = sum(expected[term] for term in TERMS[:3])
        assert_close(actual, expected)


def test_smoothness_scale_is_a_ramp_for_training():
    clips, flows = random_clips(), random_flows()
    layer = UnsupervisedFlowLoss(smoothness_weight=0.5)
    plain = to_numpy(evaluate(layer, clips, flows))
    for ramp in (0.0, 0.3, ops.convert_to_tensor(0.3, "float32")):
        actual = to_numpy(evaluate(layer, clips, flows, smoothness_scale=ramp))
        assert_close(actual["smoothness"], float(ramp) * plain["smoothness"])
        assert_close(actual["photometric"], plain["photometric"])


def test_released_weights_on_the_mean():
    """58.8, 29.4, 19.2, 9.6, 4.8 for 11 frames at 224: the weights by 10 pairs, 3 channels
    and 196, 49, 16, 4 and 1 patches."""
    # Frames of one colour each, which the two ways to shrink leave alone.
    clips = np.broadcast_to(random_clips(1, 11, (1, 1)), (1, 11, 112, 112, 3))
    sizes = (112, 56, 28, 14, 7)
    flows = {
        name: np.zeros((1, 10, size, size, 2), "float32")
        for name, size in zip(LEVELS, sizes, strict=True)
    }
    before, weights = 0.0, []
    for index, name in enumerate(flows):
        some = dict(list(flows.items())[: index + 1])
        layer = UnsupervisedFlowLoss("released")
        sum_so_far = float(to_numpy(evaluate(layer, clips, some)["ssim"])[0])
        one = evaluate(UnsupervisedFlowLoss("paper"), clips, {name: flows[name]})["ssim"]
        weights.append((sum_so_far - before) / float(to_numpy(one)[0]))
        before = sum_so_far
    np.testing.assert_allclose(weights, (58.8, 29.4, 19.2, 9.6, 4.8), rtol=1e-3)


def test_levels_go_from_fine_to_coarse_in_any_order():
    clips, flows = random_clips(), random_flows(sizes=FIVE)
    turned = dict(reversed(flows.items()))
    layer = UnsupervisedFlowLoss()
    assert_close(
        evaluate(layer, clips, turned), evaluate(layer, clips, flows), rtol=0, atol=0
    )
    fewer = {name: flows[name] for name in LEVELS[:2]}
    expected = reference.loss(clips, fewer.values())
    assert_close(evaluate(layer, clips, fewer)["total"], expected["total"], rtol=2e-4)


@pytest.mark.parametrize("weighting", ["paper", "released"])
@pytest.mark.parametrize("move", [(4.0, 0.0), (-2.0, 3.0)])
def test_true_flow_scores_best(weighting, move):
    clips = moving_clips(move)
    layer = UnsupervisedFlowLoss(weighting)
    scores = {
        name: to_numpy(evaluate(layer, clips, constant_flows(flow)))
        for name, flow in {
            "true": move,
            "zero": (0, 0),
            "negated": (-move[0], -move[1]),
            "swapped": (move[1], move[0]),
        }.items()
    }
    for term in ("photometric", "ssim", "total"):
        best = scores["true"][term][0]
        for name in ("zero", "negated", "swapped"):
            assert best < 0.8 * scores[name][term][0], (term, name)
    assert scores["true"]["smoothness"] == pytest.approx(scores["zero"]["smoothness"])


def test_descending_the_gradient_finds_the_motion():
    clips, start = moving_clips((2.0, -2.0)), constant_flows((0, 0), levels=1)["flow2"]
    layer = UnsupervisedFlowLoss(ssim_weight=0.0)
    (slope,) = gradient(lambda flow: ops.sum(layer(clips, {"flow2": flow})["total"]), start)
    mean = slope.mean(axis=(0, 1, 2, 3))
    assert mean[0] < 0 < mean[1]  # so that the step goes to +x and -y


def test_still_pictures_and_constant_flow_cost_only_epsilon():
    clips = np.repeat(random_clips(frames=1), 3, axis=1)
    flows = {"flow2": np.zeros((2, 2, 10, 12, 2), "float32")}
    terms = to_numpy(evaluate(UnsupervisedFlowLoss(), clips, flows))
    assert_close(terms["photometric"], np.full(2, 1e-6**0.4), atol=1e-6)
    assert_close(terms["smoothness"], np.full(2, 4 * 0.01 * 1e-6**0.3), atol=1e-6)
    assert_close(terms["ssim"], np.zeros(2))
    moved = to_numpy(
        evaluate(UnsupervisedFlowLoss(), clips, {"flow2": flows["flow2"] + 1.5})
    )
    assert_close(moved["smoothness"], terms["smoothness"])


@pytest.mark.parametrize("weighting", ["paper", "released"])
def test_the_mean_does_not_depend_on_how_the_batch_is_split(weighting):
    clips, flows = random_clips(count=3), random_flows(count=3)
    layer = UnsupervisedFlowLoss(weighting)
    whole = to_numpy(evaluate(layer, clips, flows))
    for cut in (1, 2):
        parts = [
            to_numpy(
                evaluate(layer, clips[part], {name: f[part] for name, f in flows.items()})
            )
            for part in (slice(0, cut), slice(cut, 3))
        ]
        for name in TERMS:
            assert whole[name].shape == (3,)
            joined = np.concatenate([part[name] for part in parts])
            assert_close(joined, whole[name], rtol=1e-4)


def test_the_border_is_masked():
    # Levels of the clip's own size: nothing is resized, a pixel stays a pixel.
    clips, still = random_clips(1, 2, (20, 30)), np.zeros((1, 1, 20, 30, 2), "float32")
    edge, inner = clips.copy(), clips.copy()
    edge[:, 1, :2] = edge[:, 1, -2:] = edge[:, 1, :, :2] = edge[:, 1, :, -2:] = 0
    inner[:, 1, 2, 2] = 255 - inner[:, 1, 2, 2]

    def terms(some, **kwargs):
        layer = UnsupervisedFlowLoss(**kwargs)
        return to_numpy(evaluate(layer, some, {"flow2": still}))

    plain = terms(clips)
    assert_close(terms(edge)["photometric"], plain["photometric"], rtol=1e-6)
    assert_differs(terms(edge)["ssim"], plain["ssim"], by=1e-3)
    assert_differs(terms(inner)["photometric"], plain["photometric"], by=1e-4)
    open_ends = {"border": 0.0}
    assert_differs(
        terms(edge, **open_ends)["photometric"], terms(clips, **open_ends)["photometric"]
    )


def test_smoothness_ignores_the_border_too():
    clips, flow = random_clips(1, 2, (20, 20)), np.zeros((1, 1, 20, 20, 2), "float32")
    layer = UnsupervisedFlowLoss()
    plain = evaluate(layer, clips, {"flow2": flow})["smoothness"]
    flow[:, :, :2] = RANDOM.normal(size=(1, 1, 2, 20, 2))
    assert_close(evaluate(layer, clips, {"flow2": flow})["smoothness"], plain, rtol=1e-6)
    flow[:, :, 10, 10] = 5.0
    assert_differs(evaluate(layer, clips, {"flow2": flow})["smoothness"], plain, by=1e-4)


@pytest.mark.parametrize("weighting", ["paper", "released"])
def test_gradient_in_flow(weighting):
    clips = random_clips(1, 3, (16, 16))
    flows = random_flows(1, 2, ((8, 8), (4, 4)))
    # Away from whole pixels, where the bilinear surface has a kink.
    for name, flow in flows.items():
        flows[name] = (np.round(flow) + RANDOM.uniform(0.2, 0.8, flow.shape)).astype(
            "float32"
        )
    layer = UnsupervisedFlowLoss(weighting)

    def fast(fine, coarse):
        return ops.sum(layer(clips, {"flow2": fine, "flow3": coarse})["total"])

    fine, coarse = flows.values()
    of_fine, of_coarse = gradient(fast, fine, coarse)
    for slope, point, slow in (
        (of_fine, fine, lambda f: reference.loss(clips, (f, coarse), weighting)),
        (of_coarse, coarse, lambda f: reference.loss(clips, (fine, f), weighting)),
    ):
        assert np.isfinite(slope).all() and np.abs(slope).max() > 1e-4
        for _ in range(3):
            direction = RANDOM.normal(size=point.shape)
            expected = directional_difference(
                lambda f, slow=slow: slow(f)["total"].sum(), point, direction, 1e-6
            )
            assert np.sum(slope * direction) == pytest.approx(expected, rel=2e-3, abs=2e-4)


@pytest.mark.parametrize("occlusion", ["forward_backward", "range_map"])
def test_true_flow_out_of_the_picture_costs_nothing_with_a_mask(occlusion):
    """16 pixels on pictures of 64: a quarter of every frame leaves."""
    clips = moving_clips((16.0, 0.0), frames=2)
    # A level of the picture's own size: nothing is lost by shrinking.
    forth = {"flow2": np.zeros((1, 1, 64, 64, 2), "float32") + np.float32([16, 0])}
    back = {"flow2": -forth["flow2"]}

    def photometric(**options):
        layer = UnsupervisedFlowLoss(occlusion=occlusion)
        return to_numpy(layer(clips, forth, **options)["photometric"])[0]

    assert photometric(backward_flows=back) < 0.01  # 0.004 is that of no difference
    assert photometric() > 1.0  # without a mask
    # The mask leaves what stays in the picture to be compared.
    wrong = {"flow2": forth["flow2"] + np.float32([0, 1])}
    undone = {"flow2": -wrong["flow2"]}
    layer = UnsupervisedFlowLoss(occlusion=occlusion)
    bad = to_numpy(layer(clips, wrong, backward_flows=undone)["photometric"])[0]
    assert bad > 1.0


def test_census_brings_its_own_weight():
    clips, flows = random_clips(), random_flows()
    terms = {
        kind: to_numpy(UnsupervisedFlowLoss(photometric=kind)(clips, flows))
        for kind in ("charbonnier", "census")
    }
    ratio = terms["census"]["photometric"] / terms["charbonnier"]["photometric"]
    assert (ratio > 0.3).all() and (ratio < 3.0).all()
    assert_close(terms["census"]["smoothness"], terms["charbonnier"]["smoothness"])


def test_gradient_is_finite_where_nothing_differs():
    clips = np.zeros((1, 3, 16, 16, 3), "uint8")
    layer = UnsupervisedFlowLoss()
    (slope,) = gradient(
        lambda flow: ops.sum(layer(clips, {"flow2": flow})["total"]),
        np.zeros((1, 2, 8, 8, 2)),
    )
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_flow_shows_in_its_own_clip_only(bad):
    clips, flows = random_clips(), random_flows()
    flows["flow2"][0, 0, 5, 5, 0] = bad
    total = to_numpy(evaluate(UnsupervisedFlowLoss(), clips, flows)["total"])
    assert not np.isfinite(total[0]) and np.isfinite(total[1])


@pytest.mark.parametrize("policy", POLICIES)
def test_everything_is_float32_under_every_policy(policy):
    clips, flows = random_clips(), random_flows()
    layer = UnsupervisedFlowLoss(dtype=policy)
    terms = evaluate(layer, clips, flows)
    assert {dtype_of(term) for term in terms.values()} == {"float32"}
    assert_close(
        terms, evaluate(UnsupervisedFlowLoss(dtype="float32"), clips, flows), rtol=1e-6
    )
    symbolic = functional(layer).output
    assert {name: (one.shape, dtype_of(one)) for name, one in symbolic.items()} == {
        name: ((None,), "float32") for name in TERMS
    }


@pytest.mark.parametrize("policy", POLICIES)
def test_a_flow_of_300_pixels_is_not_rounded(policy):
    ramp = np.broadcast_to(np.arange(400)[:, None] * 0.6, (1, 2, 4, 400, 3))
    clips = np.ascontiguousarray(ramp, "float32")
    flows = [np.full((1, 1, 4, 400, 2), x, "float32") * [1, 0] for x in (300.3, 300.25)]
    layer = UnsupervisedFlowLoss(border=0.0, dtype=policy)
    one, other = (evaluate(layer, clips, {"flow2": f.astype("float32")}) for f in flows)
    assert (
        np.abs(to_numpy(one["photometric"]) - to_numpy(other["photometric"])).max() > 1e-4
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_flow_is_welcome(dtype):
    clips, flows = random_clips(), random_flows()
    halves = {name: ops.cast(flow, dtype) for name, flow in flows.items()}
    expected = {name: to_numpy(flow) for name, flow in halves.items()}
    layer = UnsupervisedFlowLoss()
    assert_close(
        evaluate(layer, clips, halves), evaluate(layer, clips, expected), rtol=1e-5
    )


def test_float_clips_equal_uint8_clips():
    clips, flows = random_clips(), random_flows()
    layer = UnsupervisedFlowLoss()
    assert_close(
        evaluate(layer, clips.astype("float32"), flows), evaluate(layer, clips, flows)
    )


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {
            "weighting": "released",
            "released_batch": "end_to_end",
            "photometric_weight": 0.5,
            "smoothness_weight": 0.1,
            "ssim_weight": 2.0,
            "border": 0.2,
            "padding": "border",
        },
    ],
)
def test_config(kwargs):
    assert_survives_config(UnsupervisedFlowLoss(**kwargs), random_clips(), random_flows())


def test_saved_in_a_model_of_any_size(tmp_path):
    model = functional(UnsupervisedFlowLoss("released", border=0.2))
    clips, flows = random_clips(), random_flows(sizes=((9, 12), (5, 6)))
    loaded = assert_survives_file(model, [clips, flows], tmp_path)
    clips, flows = random_clips(1, size=(16, 33)), random_flows(1, sizes=((8, 16), (4, 8)))
    actual = jitted(loaded)([clips, flows])
    expected = reference.loss(clips, flows.values(), "released", border=0.2)
    assert_close(actual, {name: expected[name] for name in actual}, rtol=2e-4, atol=1e-4)


@only_tensorflow
def test_served_at_a_second_batch_size(tmp_path):
    model = functional(UnsupervisedFlowLoss())
    serve = served(model, tmp_path)
    for count in (1, 2):
        inputs = [random_clips(count), random_flows(count, sizes=((9, 12), (5, 6)))]
        assert_close(dict(serve(inputs)), model(inputs), rtol=1e-4, atol=1e-4)


@only_tensorflow
def test_xla_compiles_it():
    clips, flows = random_clips().astype("float32"), random_flows()
    layer = UnsupervisedFlowLoss("released")
    names, arrays = list(flows), list(flows.values())

    def call(some, *fields):
        return layer(some, dict(zip(names, fields, strict=True)))

    fast = compiled(call, clips.shape, *(array.shape for array in arrays), xla=True)
    assert_close(fast(clips, *arrays), evaluate(layer, clips, flows), rtol=1e-3, atol=1e-4)
    arrays[0][0, 0, 5, 5] = np.nan  # the warp may swallow it, the whole loss must not
    total = fast(clips, *arrays)["total"].numpy()
    assert np.isnan(total[0]) and np.isfinite(total[1])


@only_tensorflow
def test_sizes_need_not_be_known_when_it_is_traced():
    layer = UnsupervisedFlowLoss(
        photometric="census",
        edge_weight=10.0,
        smoothness_order=2,
        occlusion="range_map",
        consistency_weight=1.0,
    )
    clips, forth, back = random_clips(), *(random_flows()["flow2"] for _ in range(2))

    def call(clips, forth, back):
        return layer(clips, {"flow2": forth}, backward_flows={"flow2": back})

    inputs = clips.astype("float32"), forth, back
    shapes = [(None, len(one[0]), None, None, one.shape[-1]) for one in inputs]
    assert_close(compiled(call, *shapes)(*inputs), call(*inputs), rtol=1e-4)


def operations(frames, levels):
    """(all operations, gathers) of the traced loss, on backends that can tell."""
    clips = random_clips(1, frames, (16, 16)).astype("float32")
    sizes = ((8, 8), (4, 4), (2, 2))[:levels]
    flows = random_flows(1, frames - 1, sizes)
    layer = UnsupervisedFlowLoss()

    def call(some, fields):
        return layer(some, fields)["total"]

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        graph = tf.function(call).get_concrete_function(tf.constant(clips), flows).graph
        kinds = [operation.type for operation in graph.get_operations()]
        return len(kinds), sum(kind in ("GatherV2", "Gather") for kind in kinds)
    if keras.backend.backend() == "jax":
        import jax

        # Equal takes share one definition in the text of a jaxpr, so walk it instead.
        def walk(jaxpr):
            for equation in jaxpr.eqns:
                yield equation.primitive.name
                for value in equation.params.values():
                    if hasattr(value, "jaxpr"):
                        yield from walk(value.jaxpr)

        kinds = list(walk(jax.make_jaxpr(call)(clips, flows).jaxpr))
        return len(kinds), kinds.count("gather")
    pytest.skip("torch runs as it goes and traces no graph")


def test_frames_share_one_gather_a_tap_and_level():
    few, many = operations(3, 2), operations(9, 2)
    assert few == many  # no Python loop over the pairs
    assert few[1] >= 4 * 2
    gathers = [operations(4, levels)[1] for levels in (1, 2, 3)]
    assert np.diff(gathers).tolist() == [4, 4]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"released_batch": "stage 3"}, r"one of \['end_to_end', 'motion'\] or a positive"),
        ({"released_batch": 0}, "released_batch must be .*received 0"),
        ({"weighting": "mine"}, r"one of \['paper', 'released'\]; received 'mine'"),
        ({"border": 0.5}, r"border must be in \[0, 0.5\); received 0.5"),
        ({"border": -0.1}, "received -0.1"),
        ({"padding": "mirror"}, "padding must be one of .*received 'mirror'"),
    ],
)
def test_errors_of_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        UnsupervisedFlowLoss(**kwargs)


@pytest.mark.parametrize(
    ("flows", "message"),
    [
        ({}, "one to five levels"),
        (
            {f"flow{n}": np.zeros((2, 2, 4, 4, 2)) for n in range(2, 8)},
            "one to five.*flow7",
        ),
        (
            {"flow2": np.zeros((2, 3, 4, 4, 2))},
            r"flow2 must be \(batch, 2, .*\(2, 3, 4, 4, 2\)",
        ),
        ({"flow3": np.zeros((2, 4, 4, 4))}, "flow3 must be"),
        ({"flow2": np.zeros((2, 2, 4, 4, 3))}, "height, width, 2"),
    ],
)
def test_errors_of_inputs(flows, message):
    with pytest.raises(ValueError, match=message):
        evaluate(UnsupervisedFlowLoss(), random_clips(), flows)


def test_other_outputs_of_a_model_are_left_alone():
    clips = np.random.default_rng(0).integers(0, 256, (1, 3, 32, 32, 3), "uint8")
    flows = {"flow2": keras.ops.ones((1, 2, 16, 16, 2))}
    outputs = {"temporal_logits": keras.ops.ones((1, 5)), **flows, "flow": None}
    loss = UnsupervisedFlowLoss()
    assert float(loss(clips, outputs)["total"][0]) == float(loss(clips, flows)["total"][0])
