"""Training steps of the tiny MotionNet on some logical devices of one CPU."""

import json
import os
import sys

from serve import serve

STEPS = 4


def main(options):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import numpy as np
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * options["replicas"]
    tf.config.set_logical_device_configuration(cpu, devices)
    names = [f"CPU:{index}" for index in range(options["replicas"])]
    strategy = tf.distribute.MirroredStrategy(names)

    from h2s_keras.layers import UnsupervisedFlowLoss
    from h2s_keras.models import HiddenTwoStreamBuilder
    from h2s_keras.training import StageModel

    size, batch = options["size"], options["batch"]
    keras.utils.set_random_seed(0)
    with strategy.scope():
        builder = HiddenTwoStreamBuilder(2, 3, (size, size)).motion("tiny")
        network = builder.temporal("tiny").build()
        stage = StageModel(network, streams=["motion"], flow_loss=UnsupervisedFlowLoss())
        stage.compile(keras.optimizers.Adam(1e-4))
    shape = (batch, 3, size, size, 3)
    clips = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    # fit splits a batch over the replicas; train_on_batch would give each the whole.
    data = tf.data.Dataset.from_tensors((clips, np.zeros(batch, "int32"))).repeat()

    def steps():
        stage.fit(data, steps_per_epoch=STEPS, verbose=0)

    return serve({"steps": steps})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
