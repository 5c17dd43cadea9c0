"""Motion of unlabelled videos: a MotionNet that comes with the package, tuned on them.

Reproduces: nothing published; arXiv 1704.00389 learns motion without labels likewise.
    Half of each batch are pairs of frames of the videos, with the paper's loss, half are
    synthetic pairs whose motion is known, so that the network does not forget what motion
    is. The weights are kept that explain held-out videos best, those of the preset where
    tuning does not help.
Command: h2s train motion --set data.root=FOLDER --out runs/motion
    (videos at any depth, without labels; then h2s flow new.mp4 --model runs/motion)
Hardware: 2 cores, 4 GiB; four to five minutes of one processor (docs/motion.md).
Expected: depends on the videos; the run prints the error on held-out frames before and
    after, beside that of zero flow, and of DIS and TV-L1 where OpenCV is installed.
"""

from h2s_keras.options import (
    DataOptions,
    FlowLossOptions,
    ModelOptions,
    RunOptions,
    StageOptions,
)

# What all recipes for one's own videos start from: fast enough for two cores.
PRESET = "small_video"


def motion_stage(smoke=False, batch_size=None):
    """The stage that tunes a MotionNet on footage, also the first one of `videos`."""
    return StageOptions(
        name="motion",
        streams=("motion",),
        batch_size=batch_size,
        steps=4 if smoke else 600,
        learning_rate=1e-4,
        warmup=20,
        flow_loss=FlowLossOptions(kind="mixed"),
        # On a CPU XLA compiles the passes for minutes.
        jit_compile=False,
    )


def get_config(smoke=False):
    data = DataOptions(
        kind="unlabelled",
        num_frames=2,
        image_size=(128, 128),
        short="hold",
        validation=0.15,
        on_bad_file="skip",
    )
    if smoke:
        data = DataOptions(
            kind="synthetic", seed=1, test_count=16, num_frames=2, image_size=(32, 32)
        )
    return RunOptions(
        name="motion",
        seed=1,
        data=data,
        model=ModelOptions(motion=PRESET, temporal=None),
        batch_size=4 if smoke else 8,
        stages=[motion_stage(smoke)],
    )
