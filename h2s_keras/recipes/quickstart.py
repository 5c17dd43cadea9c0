"""The whole method in minutes, on synthetic clips of this package.

Reproduces: the three stages of arXiv 1704.00389 at toy size: MotionNet learns motion
    without labels, a temporal CNN learns on its frozen flow, both are tuned end to end,
    a spatial CNN is added and fused.
Command: h2s quickstart   (or h2s train quickstart)
Hardware: any machine with 2 cores and 4 GiB.
Expected: see docs/results.md, measured with this file; the ceilings follow from how the
    clips are made: the temporal stream cannot tell the 3 appearances apart (33 % of 12
    classes), the spatial stream cannot tell the 4 motions apart (25 %), fused they can.
"""

from h2s_keras.options import (
    DataOptions,
    FlowLossOptions,
    ModelOptions,
    RunOptions,
    StageOptions,
)


def get_config(smoke=False):
    steps = (lambda full: 4) if smoke else (lambda full: full)
    return RunOptions(
        name="quickstart",
        seed=1,
        data=DataOptions(
            kind="synthetic",
            num_frames=3,
            image_size=(64, 64),
            seed=1,
            test_count=32 if smoke else 480,
        ),
        model=ModelOptions(
            motion="tiny",
            adapter={"bound": 20.0},
            temporal="tiny",
            spatial="tiny",
            fusion=(1.0, 1.0),
        ),
        batch_size=4 if smoke else 16,
        stages=[
            StageOptions(
                name="motion",
                streams=("motion",),
                steps=steps(1000),
                learning_rate=1e-3,
                warmup=30,
                flow_loss=FlowLossOptions(smoothness_weight=2.5, smoothness_ramp=200),
            ),
            StageOptions(
                name="temporal",
                streams=("temporal",),
                train=("temporal",),
                steps=steps(450),
                learning_rate=2e-3,
                warmup=20,
            ),
            StageOptions(
                name="end_to_end",
                streams=("temporal",),
                train=("motion", "temporal"),
                steps=steps(150),
                learning_rate=5e-4,
                # The CNN learns faster than MotionNet, as published.
                lr_multipliers={"motion": 0.2},
                flow_loss=FlowLossOptions(smoothness_weight=2.5),
            ),
            StageOptions(
                name="spatial",
                streams=("spatial",),
                steps=steps(200),
                learning_rate=2e-3,
                warmup=20,
            ),
        ],
    )
