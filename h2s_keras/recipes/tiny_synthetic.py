"""The tiny MotionNet that comes with this package, from synthetic clips alone.

Reproduces: the preset "tiny_synthetic" of 2 frames. No photograph is seen; the clips are
    made by this package, which knows their motion, and the network learns that (FlowNet's
    way, arXiv 1504.06852). It is a start that knows motion, for learning on from your own
    videos without labels: h2s train videos --set model.motion=tiny_synthetic ...
Command: h2s train tiny_synthetic --out runs/tiny_synthetic
Hardware: 2 cores with bfloat16 arithmetic, 4 GiB; about half an hour when idle. Without
    that arithmetic --set dtype_policy=float32 is the faster one.
Expected: docs/results.md, measured with this file.
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
        name="tiny_synthetic",
        seed=1,
        dtype_policy="mixed_bfloat16",
        data=DataOptions(
            kind="moving_layers",
            num_frames=2,
            image_size=(64, 64),
            targets="flow",
            seed=1,
            max_displacement=8.0,
            pool=16 if smoke else 4096,
            test_count=16 if smoke else 256,
        ),
        model=ModelOptions(
            motion="tiny",
            motion_options={"coarse_to_fine": True},
            temporal=None,
        ),
        batch_size=4 if smoke else 8,
        stages=[
            StageOptions(
                name="motion",
                streams=("motion",),
                steps=steps(7000),
                learning_rate=1e-3,
                warmup=30,
                # Half size first, then what is left at full size: as it is used.
                flow_loss=FlowLossOptions(kind="supervised", refinement=True),
            ),
        ],
    )
