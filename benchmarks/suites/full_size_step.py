"""Suite `full_size_step`: peak memory of a training step, and where its time goes.

    python -m benchmarks full_size_step --batch 8 --rounds 3

MotionNet and VGG16 end to end (action loss and all unsupervised losses, SGD with
momentum), 11 frames of 224x224. The time is split by growing the step: data, forward,
with losses, with gradients, with the update; each share is the difference of the medians
of two of them, taken in turns in one process. `--rematerialize` forgets activations and
computes them again. Peak memory is the process's largest resident set.
"""

import resource
import statistics

import keras
import numpy as np
import tensorflow as tf

from benchmarks.harness import measure, timed
from h2s_keras.data import SyntheticClips
from h2s_keras.recipes import ucf101
from h2s_keras.training.recipe_network import build_network
from h2s_keras.training.stages import prepare_stage


def add_arguments(parser):
    parser.add_argument("--batch", type=int, default=8, help="clips (8)")
    parser.add_argument("--stage", default="end_to_end", help="of the recipe ucf101")
    parser.add_argument("--policy", default="float32", help="(float32)")
    parser.add_argument("--rematerialize", action="store_true")
    parser.add_argument("--memory_only", action="store_true", help="two whole steps")


def run(settings, figures):
    options = settings.options
    model, batches = make(options, settings.smoke)
    weights = model.trainable_variables
    figures.value("parameters", int(sum(np.prod(v.shape) for v in weights)))
    figures.value("GiB before the first step", round(peak_gib(), 2))
    if options.memory_only:
        for _ in range(2):
            clips, labels = next(batches)
            model.train_on_batch(clips.numpy(), labels.numpy())
    else:
        case = f"{options.stage}, {options.batch} clips, {options.policy}"
        measure_parts(figures, settings, case, steps_of(model), batches)
    figures.value("peak GiB", round(peak_gib(), 2))


def measure_parts(figures, settings, case, parts, batches):
    """Each part is the start of the next; its own share is what it adds to that before."""
    batch = next(batches)
    functions = {"data": timed(lambda: next(batches))}
    for name, part in parts.items():
        functions[name] = timed(
            lambda part=part: [np.asarray(x) for x in tf.nest.flatten(part(*batch))]
        )
    seconds = measure(functions, settings.rounds, warm_up=1)
    figures.add_seconds(case, seconds)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    total, before = medians["data"] + medians["update"], 0.0
    figures.value(f"share of data, {case}", round(medians["data"] / total, 3))
    for name in parts:
        share = (medians[name] - before) / total
        figures.value(f"share of {name}, {case}", round(share, 3))
        before = medians[name]


def make(options, smoke):
    keras.utils.set_random_seed(1)
    keras.config.set_dtype_policy(options.policy)
    config = ucf101.get_config(smoke)
    config.model.temporal_weights = config.model.spatial = None
    config.model.rematerialize = options.rematerialize
    stage = next(stage for stage in config.stages if stage.name == options.stage)
    stage.gradient_accumulation_steps = 1
    network = build_network(config, [str(number) for number in range(101)])
    model = prepare_stage(network, stage)
    clips = SyntheticClips(config.data.num_frames, config.data.image_size)
    return model, iter(clips.dataset(options.batch))


def peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def steps_of(model):
    """The step in growing parts; each a compiled function of (clips, labels)."""
    weights = model.trainable_variables

    def loss_of(clips, labels):
        outputs = model(clips, training=True)
        return outputs, model.compute_loss(x=clips, y=labels, y_pred=outputs)

    @tf.function
    def forward(clips, labels):
        return [tf.reduce_sum(x) for x in model(clips, training=True).values()]

    @tf.function
    def losses(clips, labels):
        return loss_of(clips, labels)[1]

    @tf.function
    def gradients(clips, labels):
        with tf.GradientTape() as tape:
            loss = loss_of(clips, labels)[1]
        found = tape.gradient(loss, weights)
        return [tf.reduce_sum(x) for x in found if x is not None]

    @tf.function
    def update(clips, labels):
        with tf.GradientTape() as tape:
            loss = loss_of(clips, labels)[1]
        model.optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    return {"forward": forward, "loss": losses, "backward": gradients, "update": update}
