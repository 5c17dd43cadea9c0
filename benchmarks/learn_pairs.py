"""Learns a MotionNet of two frames from pools of clips: Keras on JAX, no TensorFlow.

    python benchmarks/draw_pool.py --filmed 0.6 --count 8192 --out pool.npz
    KERAS_BACKEND=jax python -m benchmarks.learn_pairs pool.npz --steps 40000 --out pairs

The same objective as the recipe small_video (true flow, from a quarter of the size up), for
a machine with a GPU and without TensorFlow: all clips lie in its memory, and one compiled
step draws, turns and recolours them, and learns. With `--unlabelled` true flow is not read:
census, smoothness away from edges, and `MARGIN` pixels on every side that the warp alone
sees, so that clips of 128 pixels (`--side 128`) teach flow of 64. Writes OUT.keras and
OUT.npz (weights in float16, as presets are stored) every `--every` steps, so that it may be
cut at any time; `benchmarks/real_video.py` measures OUT.keras.
"""

import argparse
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.tools.make_preset import write_preset
from h2s_keras.layers.supervised_flow_loss import SupervisedFlowLoss
from h2s_keras.layers.unsupervised_flow_loss import UnsupervisedFlowLoss
from h2s_keras.models.motion_net import MotionNet
from h2s_keras.training.flow_objective import FlowObjective

MARGIN = 32


def read_pools(paths):
    """(clips uint8 (count, 2, side, side, 3), flow float16 (count, 1, side, side, 2))."""
    clips, flows = [], []
    for path in paths:
        with np.load(path) as arrays:
            clips.append(arrays["clip"])
            flows.append(arrays["flow"])
    return np.concatenate(clips), np.concatenate(flows)


def augmented(key, clips, flows):
    """Mirrored, turned, colours exchanged, in other light: each clip in its own way."""

    def one(key, clip, flow):
        keys = jax.random.split(key, 8)
        for axis, sign, coin in ((2, (-1.0, 1.0), 0), (1, (1.0, -1.0), 1)):
            flip = jax.random.bernoulli(keys[coin])
            clip = jnp.where(flip, jnp.flip(clip, axis), clip)
            flow = jnp.where(flip, jnp.flip(flow, axis) * jnp.array(sign), flow)
        turn = jax.random.bernoulli(keys[2])
        clip = jnp.where(turn, jnp.swapaxes(clip, 1, 2), clip)
        flow = jnp.where(turn, jnp.swapaxes(flow, 1, 2)[..., ::-1], flow)
        clip = clip[..., jax.random.permutation(keys[3], 3)]
        gain = jax.random.uniform(keys[4], (3,), minval=-0.25, maxval=0.25)
        gain += jax.random.uniform(keys[5], (), minval=-0.25, maxval=0.25)
        offset = jax.random.uniform(keys[6], (), minval=-15.0, maxval=15.0)
        return jnp.clip(clip * jnp.exp(gain) + offset, 0.0, 255.0), flow

    keys = jax.random.split(key, len(clips))
    return jax.vmap(one)(keys, clips.astype("float32"), flows.astype("float32"))


def make_step(motion_net, optimizer, objective, pool, batch_size, momentum):
    """The compiled step: (state, key) to (state, loss)."""
    clips, flows = (jnp.asarray(array) for array in pool)

    variables = motion_net.trainable_variables + motion_net.non_trainable_variables

    def loss_of(weights, frozen, clips, truth):
        mapping = list(zip(variables, [*weights, *frozen], strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            seen = objective.visible_clips(clips)
            found = motion_net.single_pass(objective.first_view(seen), training=True)
            extra = objective.extra_passes(motion_net, seen, found, 0.0)
            if not objective.supervised:
                truth = None
            terms = objective.evaluate(clips, {**found, **extra}, truth=truth)
        return terms["total"].mean()

    def step(state, key):
        weights, frozen, slots, averages = state
        drawing, turning = jax.random.split(key)
        rows = jax.random.randint(drawing, (batch_size,), 0, len(clips))
        batch, truth = augmented(turning, clips[rows], flows[rows])
        loss, gradients = jax.value_and_grad(loss_of)(weights, frozen, batch, truth)
        weights, slots = optimizer.stateless_apply(slots, gradients, weights)
        done = slots[0].astype("float32")
        # An average over few steps at the beginning, over many later.
        keep = jnp.minimum(momentum, (1.0 + done) / (10.0 + done))
        averages = [
            keep * old + (1.0 - keep) * new
            for old, new in zip(averages, weights, strict=True)
        ]
        return (weights, frozen, slots, averages), loss

    return jax.jit(step, donate_argnums=0)


def write(motion_net, averages, out, steps):
    for variable, value in zip(motion_net.trainable_variables, averages, strict=True):
        variable.assign(value)
    folder, name = os.path.split(os.path.abspath(out))
    motion_net.save(f"{out}.writing.keras")
    os.replace(f"{out}.writing.keras", f"{out}.keras")
    write_preset(motion_net, name, {"steps": steps}, folder)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("pools", nargs="+", help=".npz files of benchmarks/draw_pool.py")
    parser.add_argument("--variant", default="small")
    parser.add_argument("--unlabelled", action="store_true", help="do without true flow")
    parser.add_argument("--noise_floor", type=float, default=0.0)
    parser.add_argument("--smoothness", type=float, default=40.0, help="if unlabelled")
    parser.add_argument("--initial", help=".keras file to start from")
    parser.add_argument("--steps", type=int, default=40000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--every", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True, help="path without an ending")
    options = parser.parse_args()

    keras.utils.set_random_seed(options.seed)
    motion_net = MotionNet(
        2, options.variant, coarse_to_fine=True, noise_floor=options.noise_floor
    )
    motion_net.build((None, 2, None, None, 3))
    if options.initial:
        trained = keras.saving.load_model(options.initial, compile=False)
        motion_net.set_weights(trained.get_weights())
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-5, options.steps, alpha=0.01, warmup_target=options.rate, warmup_steps=100
    )
    optimizer = keras.optimizers.Adam(schedule, global_clipnorm=1.0)
    optimizer.build(motion_net.trainable_variables)
    objective = FlowObjective(SupervisedFlowLoss(), refinement=2)
    if options.unlabelled:
        loss = UnsupervisedFlowLoss(
            photometric="census",
            ssim_weight=0.0,
            smoothness_weight=options.smoothness,
            edge_weight=50.0,
        )
        objective = FlowObjective(loss, refinement=2, margin=MARGIN)
    pool = read_pools(options.pools)
    step = make_step(motion_net, optimizer, objective, pool, options.batch, 0.999)
    weights = [jnp.array(v.value) for v in motion_net.trainable_variables]
    state = (
        weights,
        [jnp.array(v.value) for v in motion_net.non_trainable_variables],
        [jnp.array(v.value) for v in optimizer.variables],
        [jnp.array(value) for value in weights],
    )
    key, started, losses = jax.random.key(options.seed), time.monotonic(), []
    for number in range(1, options.steps + 1):
        state, loss = step(state, jax.random.fold_in(key, number))
        losses.append(loss)
        if number % options.every == 0 or number == options.steps:
            mean = float(jnp.mean(jnp.stack(losses)))
            if not np.isfinite(mean):
                raise SystemExit(f"the loss is {mean} at step {number}; nothing is written")
            seconds, losses = time.monotonic() - started, []
            print(f"{number}: loss {mean:.4f}, {seconds:.0f} s", flush=True)
            write(motion_net, state[3], options.out, number)


if __name__ == "__main__":
    main()
