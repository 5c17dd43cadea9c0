"""Hidden two-stream network on HMDB51: MotionNet and VGG16, three stages, as published.

Reproduces: arXiv 1704.00389, table 6: 57.7 % (temporal) and 62.0 % (fused), mean of three
    splits, VGG16.
Command: h2s train hmdb51 --set data.annotations=testTrainMulti_7030_splits
    --set data.root=hmdb51 --set data.split=1 --out runs/hmdb51-1
Hardware: one GPU of 24 GiB; hours on an H200: docs/paper.md.
Expected: not yet reproduced with this library; values as in the recipe ucf101 but for
    stages 2, 3 and 4, whose steps are those of the released solvers for HMDB51.
"""

from h2s_keras.recipes import ucf101


def get_config(smoke=False):
    config = ucf101.get_config(smoke)
    config.name = "hmdb51"
    if not smoke:
        as_hmdb51(config)
    return config


def as_hmdb51(config):
    """Makes a recipe for UCF101 one for HMDB51: its files and its shorter stages."""
    config.data.kind = "hmdb51"
    stages = {stage.name: stage for stage in config.stages}
    stages["temporal"].steps, stages["temporal"].boundaries = 7_000, (4000, 6000)
    stages["end_to_end"].steps, stages["end_to_end"].boundaries = 8_500, (5000, 7000)
    stages["spatial"].steps, stages["spatial"].boundaries = 2_500, (1000, 2000)
