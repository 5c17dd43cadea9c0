"""Suite `accelerator_training`: full-size steps on a GPU in bfloat16, time and memory."""

import tempfile

import numpy as np

from benchmarks.suites.accelerator import POLICY, prepare
from benchmarks.suites.training import STAGES, measure_stage

CLIPS = (32, 11, 224, 224, 3)
# In one measured run: the way to the device and back is that of a whole run.
STEPS = 16


def run(settings, figures):
    steps = 2 if settings.smoke else STEPS
    peer_options = prepare(figures, settings)
    options = {"policy": POLICY, "bfloat16": True, **peer_options}
    for stage in STAGES:
        with tempfile.TemporaryDirectory() as folder:
            seconds = measure_stage(
                figures, settings, stage, folder, CLIPS, steps, **options
            )
        if not settings.smoke:
            for name, values in seconds.items():
                clips = round(CLIPS[0] / float(np.median(values)), 1)
                figures.value(f"clips a second, {name}, steps of {stage}", clips)
