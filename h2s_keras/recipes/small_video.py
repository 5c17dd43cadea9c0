"""The small MotionNet for real video that comes with this package.

Reproduces: the preset "small_video" of 2 frames: a thirteenth of the arithmetic of
    "tiny_synthetic" of 2 frames. No photograph is seen; the clips are made by this package.
    Two of three have what ordinary video has (`FilmedLayers`): still cameras, parts without
    texture, thin things, darkness, motions from a twentieth of a pixel up, and what H.264,
    MPEG-4 and MJPEG leave of it. The others are those of tiny_synthetic.
Command: h2s train small_start --out runs/small_start
    h2s train small_video --set model.initial=runs/small_start --out runs/small_video
Hardware: 2 cores, 4 GiB; about half an hour when idle, a sixth of it to draw the clips.
Expected: docs/results.md. The weights in the package had more steps, in parts, each of new
    clips and with a rate that falls to a fiftieth: 3560 on filmed clips alone and 4800 on
    all, both without `noise_floor`, then with it 5000 and 16000 on all.
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
        name="small_video",
        seed=1,
        tensorboard=False,
        data=DataOptions(
            kind="moving_layers",
            filmed=0.67,
            num_frames=2,
            image_size=(64, 64),
            targets="flow",
            seed=0,
            max_displacement=12.0,
            pool=16 if smoke else 4608,
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
                steps=4 if smoke else 8400,
                learning_rate=1.5e-3,
                warmup=50,
                ema=0.998,
                # A quarter of the size, half, then all of it, as it is used.
                flow_loss=FlowLossOptions(kind="supervised", refinement=2),
                # Convolutions of few channels are faster in oneDNN than in XLA.
                jit_compile=False,
            ),
        ],
    )
