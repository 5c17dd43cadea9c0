r"""Your own videos, sorted into a folder for each class.

Reproduces: nothing published; it is the method of arXiv 1704.00389 for tens of videos and
    two cores: flow of pairs by a MotionNet that comes with the package and is tuned on
    them without labels, a small temporal CNN on its flow, both tuned end to end, a small
    spatial CNN, fusion by validation.
Command: h2s train videos --set data.root=my_videos --out runs/mine
    (my_videos/CLASS/any.mp4; or --set data.csv=table.csv with columns path and class)
Hardware: 2 cores, 4 GiB; at most 30 minutes for 60 to 200 videos of a few seconds.
Expected: depends on the videos. The run ends with figures on videos that it set aside. To
    know how it does on another person or scene, leave one out: --set
    data.group_pattern='person(\d+)' --set data.test_group=1 (or =each, one run a group).
"""

from h2s_keras.options import (
    DataOptions,
    FlowLossOptions,
    ModelOptions,
    RunOptions,
    StageOptions,
)
from h2s_keras.recipes.motion import PRESET, motion_stage


def get_config(smoke=False):
    steps = (lambda full: 4) if smoke else (lambda full: full)
    data = DataOptions(
        kind="videos",
        # 16 frames in about a second, at the rate of the videos.
        num_frames=16,
        clip_seconds=1.0,
        # Whole frames: what a fixed camera sees at the border counts as well.
        image_size=(128, 128),
        decode_size=(128, 128),
        short="hold",
        balanced=True,
        validation=0.15,
        clips_per_video=10,
    )
    if smoke:
        data = DataOptions(
            kind="synthetic", seed=1, test_count=16, num_frames=3, image_size=(32, 32)
        )
    return RunOptions(
        name="videos",
        seed=1,
        minutes=30,
        data=data,
        model=ModelOptions(
            motion=PRESET,
            # Crops that follow a face or an animal shake, and so do cameras.
            adapter={"subtract_mean": True},
            temporal="small",
            temporal_dropout=0.5,
            # Without its ImageNet weights the backbone "small", from scratch.
            spatial="small" if smoke else "mobilenetv2",
            spatial_weights=None if smoke else "imagenet_if_available",
            spatial_dropout=0.5,
            # Chosen anew on the validation videos.
            fusion=(1.0, 1.5),
        ),
        batch_size=4 if smoke else 32,
        # Of tens of videos, 15 % are too many to learn nothing from.
        refit=True,
        stages=[
            motion_stage(smoke, batch_size=4 if smoke else 8),
            StageOptions(
                name="temporal",
                streams=("temporal",),
                train=("temporal",),
                # Flow of a frozen MotionNet is computed once for each video.
                cached_flow=not smoke,
                steps=steps(1200),
                # 1200 for 200 videos: more of them need longer (docs/results.md).
                steps_per_video=None if smoke else 6,
                learning_rate=2e-3,
                warmup=20,
                weight_decay=1e-4,
                label_smoothing=0.1,
            ),
            StageOptions(
                name="end_to_end",
                streams=("temporal",),
                train=("motion", "temporal"),
                batch_size=4,
                # Four clips have no statistics to speak of.
                freeze_normalization=True,
                steps=steps(60),
                epoch=30,
                learning_rate=1e-4,
                warmup=5,
                lr_multipliers={"motion": 0.2},
                flow_loss=FlowLossOptions(weighting="paper", smoothness_weight=2.5),
                label_smoothing=0.1,
            ),
            StageOptions(
                name="spatial",
                streams=("spatial",),
                batch_size=4 if smoke else 16,
                steps=steps(300),
                learning_rate=1e-3,
                warmup=20,
                weight_decay=1e-4,
                label_smoothing=0.1,
            ),
        ],
    )
