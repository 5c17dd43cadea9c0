"""What the recipe small_video begins with: a small MotionNet that knows motion at all.

Reproduces: nothing by itself. On the clips of small_video a network without any notion of
    motion stays at zero flow for long, since that is right for most of what it sees; on
    clips where everything moves it leaves zero flow within 150 steps.
Command: h2s train small_start --out runs/small_start
Hardware: 2 cores, 2 GiB; two minutes when idle.
Expected: a loss of 0.57 (zero flow: 0.89).
"""

from h2s_keras.recipes import tiny_synthetic


def get_config(smoke=False):
    config = tiny_synthetic.get_config(smoke)
    config.name = "small_start"
    config.dtype_policy = "float32"
    config.tensorboard = False
    config.data.image_size = (32, 32)
    config.data.max_displacement = 5.0
    config.data.pool = 16 if smoke else 1024
    config.data.test_count = 16 if smoke else 64
    config.model.motion = "small"
    (stage,) = config.stages
    stage.steps = 4 if smoke else 600
    stage.learning_rate = 2e-3
    stage.schedule = "constant"
    stage.ema = 0.99
    stage.jit_compile = False
    return config
