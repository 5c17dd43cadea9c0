"""The small MotionNet learned without labels, from random weights and synthetic clips.

Reproduces: the preset "tiny_unlabelled" of 2 frames: the network of "small_video", without
    true flow. Clips of moving layers are drawn 32 pixels larger on every side than what the
    network sees; the warp reads the margin, so that motion out of the picture is explained.
    Patterns are compared (census), and flow is smooth but at edges.
Command: h2s train tiny_unlabelled --out runs/tiny_unlabelled
Hardware: 2 cores, 4 GiB. A step takes a tenth of a second of one core; drawing the clips
    takes longer than the steps.
Expected: docs/results.md. The weights in the package were learned outside of this command,
    with random crops of the clips, light and order of frames besides, in five parts: 4500
    steps with smoothness_weight=8 and edge_weight=10, 4000 as below, and 17000 with more.
"""

from h2s_keras.options import (
    DataOptions,
    FlowLossOptions,
    ModelOptions,
    RunOptions,
    StageOptions,
)


def get_config(smoke=False):
    return RunOptions(
        name="tiny_unlabelled",
        seed=1,
        tensorboard=False,
        data=DataOptions(
            kind="moving_layers",
            filmed=0.67,
            num_frames=2,
            image_size=(128, 128),
            seed=0,
            max_displacement=12.0,
            pool=16 if smoke else 3072,
            test_count=16 if smoke else 256,
        ),
        model=ModelOptions(
            motion="small",
            motion_options={"coarse_to_fine": True, "noise_floor": 2.0},
            temporal=None,
        ),
        batch_size=4,
        stages=[
            StageOptions(
                name="motion",
                streams=("motion",),
                steps=4 if smoke else 8000,
                learning_rate=1e-3,
                warmup=100,
                ema=0.998,
                flow_loss=FlowLossOptions(
                    photometric="census",
                    ssim_weight=0.0,
                    smoothness_weight=40.0,
                    edge_weight=50.0,
                    margin=32,
                    # A quarter of the size, half, then all of it, as it is used.
                    refinement=2,
                ),
                # Convolutions of few channels are faster in oneDNN than in XLA.
                jit_compile=False,
            ),
        ],
    )
