"""All options of a training run with their types, defaults and help: the only table.

`--set`, `h2s train NAME --show`, docs/options.md, config.json and every check are derived
from it.
"""

import dataclasses
import typing
from typing import Any, Literal

from h2s_keras.errors import UserError
from h2s_keras.option_types import Options, option

OFFICIAL = ("ucf101", "hmdb51", "thumos14", "activitynet")
SYNTHETIC = ("synthetic", "moving_layers")
# Kinds of data by what they have in common.
_VIDEOS = ("videos", "list", *OFFICIAL)
_FILES = (*_VIDEOS, "unlabelled")
_CLIPS = (*_FILES, "records")
_TABLE, _LIST, _RECORDS, _LAYERS = ("videos",), ("list",), ("records",), SYNTHETIC[1:]
# What recipes for other kinds say and nobody could take for more than it is.
_PASSED_OVER = ("records", "synthetic")
_REAL = ("unsupervised", "mixed")

Kind = Literal[
    "synthetic",
    "moving_layers",
    "videos",
    "list",
    "ucf101",
    "hmdb51",
    "thumos14",
    "activitynet",
    "unlabelled",
    "records",
]
Stream = Literal["motion", "temporal", "spatial"]
Size = tuple[int, int]


@dataclasses.dataclass
class DataOptions(Options):
    """Options of the data, `data.NAME`.

    A recipe may hold options of several kinds, so that `--set data.kind=...` can choose
    another: those that the kind does not support must have their defaults.
    """

    kind: Kind = option(None, "where clips come from", needed=True)
    num_frames: int = option(None, "frames of a clip", least=1, needed=True)
    image_size: Size = option(
        None,
        "height and width of the clips in pixels",
        least=1,
        needed=True,
        square=True,
        takes="(height, width) in pixels, or one number for a square",
    )
    # Which videos.
    root: str | None = option(
        None, "folder of the videos, or of the packed records", kinds=_CLIPS
    )
    csv: str | None = option(None, "table with the columns path and class", kinds=_TABLE)
    train_list: str | None = option(None, "file that lists training videos", kinds=_LIST)
    test_list: str | None = option(None, "file that lists test videos", kinds=_LIST)
    classes: str | None = option(None, "file that lists the classes", kinds=_LIST)
    annotations: str | None = option(
        None, "folder or file of the official lists", kinds=OFFICIAL
    )
    split: int | str | None = option(
        None, "split of the dataset; None is the first", kinds=(*OFFICIAL, "records")
    )
    group_pattern: str | None = option(
        None,
        "regular expression that finds the group of a video in its file name",
        kinds=("videos", "records"),
    )
    group_column: str | None = option(
        None, "column of the table that holds the group", kinds=_TABLE
    )
    test_group: str | None = option(
        None,
        "group left out of training and tested on; 'each' for one run per group",
        kinds=(*_VIDEOS, "records"),
    )
    test_root: str | None = option(None, "other records to test on", kinds=_RECORDS)
    validation: float | None = option(
        0.0,
        "share of the training videos that weights and fusion are chosen by",
        least=0,
        most=0.5,
        kinds=_FILES,
        ignored=_PASSED_OVER,
    )
    balanced: bool = option(
        False,
        "whether to draw clips of every class equally often",
        kinds=_VIDEOS,
        ignored=_PASSED_OVER,
    )
    # How clips are drawn.
    stride: int = option(1, "step between the frames of a clip", least=1, kinds=_CLIPS)
    rate: float | None = option(
        None,
        "frames per second to read videos at; None is every frame",
        above=0,
        kinds=_FILES,
    )
    clip_seconds: float | None = option(
        None,
        "length of a clip in seconds, which chooses rate and stride",
        above=0,
        kinds=_VIDEOS,
        ignored=_PASSED_OVER,
    )
    max_skip: int = option(
        1,
        "each clip's stride is drawn up to so many times the stride",
        least=1,
        kinds=_CLIPS,
    )
    segments: int | None = option(
        None,
        "clips per training example, one from each part of the video",
        least=1,
        kinds=(*_VIDEOS, "records", *SYNTHETIC),
    )
    short: Literal["loop", "hold", "refuse"] = option(
        "loop", "what fills a clip that is longer than its video", kinds=_CLIPS
    )
    clips_per_video: int = option(
        5, "clips per test video", least=1, kinds=(*_VIDEOS, "records")
    )
    # How clips are augmented.
    flip: bool = option(True, "whether clips are mirrored at random", kinds=_CLIPS)
    no_flip_classes: tuple[str | int, ...] = option(
        (), "classes whose clips are not mirrored", kinds=(*_VIDEOS, "records")
    )
    flip_map: dict | None = option(
        None,
        "label of the mirrored clip for each class that has another",
        kinds=(*_VIDEOS, "records"),
    )
    color_jitter: dict | None = option(
        None, "brightness, contrast, saturation and hue to vary by", kinds=_CLIPS
    )
    rand_augment: dict | None = option(
        None,
        "operations, magnitude and library of RandAugment",
        kinds=(*_VIDEOS, "records"),
    )
    # How videos are read.
    decode_size: int | Size | None = option(
        None,
        "short side or (height, width) of decoded frames in pixels",
        least=1,
        kinds=_FILES,
        ignored=_PASSED_OVER,
    )
    on_bad_file: Literal["raise", "skip", "substitute"] = option(
        "raise", "what to do with a broken video", kinds=_FILES, ignored=_PASSED_OVER
    )
    cache_bytes: float = option(
        1e9,
        "memory for decoded frames in bytes",
        least=0,
        kinds=_FILES,
        ignored=_PASSED_OVER,
    )
    timeout: float | None = option(
        60, "seconds that one file may take", above=0, kinds=_FILES, ignored=_PASSED_OVER
    )
    num_parallel_calls: int | None = option(
        None, "videos decoded at a time; None is one per core", least=1, kinds=_CLIPS
    )
    # Packed records.
    contents: Literal["clips", "flow", "both"] = option(
        "clips", "what is read from the records", kinds=_RECORDS
    )
    service: str | None = option(
        None,
        "grpc://host:port of a tf.data service that prepares batches",
        kinds=_RECORDS,
    )
    # Synthetic clips.
    seed: int = option(
        None, "seed of the clips", kinds=SYNTHETIC, ignored=("records",), needed=True
    )
    test_count: int = option(
        None, "number of test clips", kinds=SYNTHETIC, ignored=("records",), needed=True
    )
    targets: Literal["label", "flow"] = option(
        "label", "what is learned from: classes, or true flow", kinds=SYNTHETIC
    )
    max_displacement: float | None = option(
        None, "largest motion in pixels per frame; None is the clips' own", kinds=SYNTHETIC
    )
    foreground_probability: float = option(
        0.4, "how often an object moves before the background", kinds=("synthetic",)
    )
    motions: tuple[str, ...] | None = option(
        None, "motions that are classes; None is all", kinds=("synthetic",)
    )
    degrade: bool = option(
        True, "whether light and noise change within a clip", kinds=_LAYERS
    )
    pool: int | None = option(
        None,
        "clips drawn once and augmented; None draws each anew",
        kinds=_LAYERS,
    )
    filmed: float = option(
        0.0, "share of clips as a camera and a codec leave them", kinds=_LAYERS
    )

    @classmethod
    def prefix(cls, values: dict[str, Any], outer: str) -> str:
        """Data are those of a run."""
        return "data."

    def check(self, where: str = "data.") -> None:
        """As `Options.check`, with what a tf.data service needs."""
        if self.kind is None:
            kinds = typing.get_args(Kind)
            raise UserError(f"{where}kind takes one of {', '.join(kinds)}; received None")
        if self.service and self.kind != "records":
            raise UserError(
                f"data of the kind {self.kind} cannot be prepared by a tf.data service, "
                "whose workers run no Python; pack it first (h2s data pack) and train with "
                "data.kind=records"
            )
        if type(self.test_group) is int:
            self.test_group = str(self.test_group)  # Groups are names.
        super().check(where)

    def given(self) -> dict[str, Any]:
        """dict of the options that the kind supports, but for "kind" and those left open.

        Raises:
            UserError: a value that the kind needs is missing.
        """
        self.require("data.")
        found = {name: value for name, value in self.to_dict().items() if name != "kind"}
        return {name: value for name, value in found.items() if not self._is_open(name)}

    def _is_open(self, name):
        return getattr(self, name) is None and self.fields()[name].default is None


@dataclasses.dataclass
class ModelOptions(Options):
    """Options of the model, `model.NAME`."""

    motion: str = option("tiny", "MotionNet: a variant, preset or path; 'stored' for flow")
    motion_options: dict = option(dict, "other arguments of MotionNet")
    adapter: dict = option(
        dict,
        "arguments of QuantizedFlowAdapter",
        keys=("bound", "levels", "centre", "padding", "enlarge", "subtract_mean"),
    )
    temporal: str | None = option(
        "tiny", "backbone of the temporal stream; None for MotionNet alone"
    )
    temporal_weights: str | None = option(None, "'imagenet' or a file of weights")
    temporal_dropout: float | tuple[float, ...] | None = option(
        None, "dropout rate before the classes; None is the backbone's", least=0, most=1
    )
    temporal_partial_batch_normalization: bool = option(
        False, "whether to freeze all batch statistics but the first layer's"
    )
    spatial: str | None = option(None, "backbone of the spatial stream, or None")
    spatial_weights: str | None = option(
        None, "'imagenet', 'imagenet_if_available' or a file of weights"
    )
    spatial_dropout: float | tuple[float, ...] | None = option(
        None, "dropout rate before the classes; None is the backbone's", least=0, most=1
    )
    spatial_partial_batch_normalization: bool = option(
        False, "whether to freeze all batch statistics but the first layer's"
    )
    branched: bool = option(False, "whether the temporal stream sees MotionNet's features")
    rematerialize: bool = option(
        False, "whether to compute activations twice in order to save memory"
    )
    fusion: tuple[float, float] = option(
        (1.0, 1.5),
        "weights of the spatial and temporal scores",
        takes="two numbers, the weights (spatial, temporal) such as (1.0, 1.5)",
    )
    initial: str | None = option(None, ".keras file or run folder to take weights from")

    @classmethod
    def prefix(cls, values: dict[str, Any], outer: str) -> str:
        """A model is that of a run."""
        return "model."


@dataclasses.dataclass
class FlowLossOptions(Options):
    """Options of the flow loss of a stage, `stages.STAGE.flow_loss.NAME`.

    They are arguments of `UnsupervisedFlowLoss`, `SupervisedFlowLoss`, `MixedFlowLoss` and
    `FlowObjective`, which explain them; what counts batches there counts optimizer steps
    here.
    """

    kind: Literal["unsupervised", "supervised", "mixed"] = option(
        "unsupervised", "what flow is learned from: video, true flow, or both"
    )
    weighting: Literal["paper", "released"] = option(
        "paper", "weights of the terms: the paper's or the released ones", kinds=_REAL
    )
    photometric_weight: float = option(
        1.0, "factor on the photometric term", least=0, kinds=_REAL
    )
    smoothness_weight: float = option(
        1.0, "factor on the smoothness term", least=0, kinds=_REAL
    )
    ssim_weight: float = option(1.0, "factor on the SSIM term", least=0, kinds=_REAL)
    border: float = option(0.1, "share of the short side ignored at each edge", kinds=_REAL)
    padding: Literal["zeros", "border"] = option(
        "zeros", "what the warp reads beyond the edges", kinds=_REAL
    )
    photometric: Literal["charbonnier", "census"] = option(
        "charbonnier", "what is compared: colours or patterns", kinds=_REAL
    )
    smoothness_order: Literal[1, 2] = option(
        1, "1 favours constant flow, 2 affine flow", kinds=_REAL
    )
    edge_weight: float = option(
        0.0, "how far flow may jump where the image does", kinds=_REAL
    )
    occlusion: Literal["forward_backward", "range_map"] | None = option(
        None, "how hidden pixels are found, which are not compared", kinds=_REAL
    )
    consistency_weight: float = option(
        0.0, "factor on the change of a point's flow between pairs", least=0, kinds=_REAL
    )
    released_batch: Literal["motion", "end_to_end"] | float = option(
        "motion", "batch size that the released losses are divided by", above=0, kinds=_REAL
    )
    level_weights: tuple[float, ...] = option(
        (1.0, 0.5, 0.25), "factor on each level, fine to coarse", kinds=("supervised",)
    )
    alpha: float = option(0.4, "exponent of the penalty", kinds=("supervised",))
    supervised_weight: float = option(
        1.0, "factor on the loss of synthetic pairs", least=0, kinds=("mixed",)
    )
    smoothness_ramp: int = option(
        0, "steps over which the smoothness term grows to its weight", least=0, kinds=_REAL
    )
    smoothness_start: float = option(
        0.1, "share of the smoothness term that the ramp begins with", least=0, kinds=_REAL
    )
    occlusion_start: int = option(
        0, "steps before hidden pixels are left out", least=0, kinds=_REAL
    )
    margin: int = option(0, "pixels cut off each side that the warp still reads", least=0)
    self_supervision_weight: float = option(
        0.0, "factor on the distance between flow of the clip and of a crop", least=0
    )
    self_supervision_start: int = option(0, "steps before self-supervision counts", least=0)
    self_supervision_crop: int = option(
        8, "pixels cut off each side for self-supervision", least=0
    )
    refinement: bool | int = option(
        False, "passes at half the size, a quarter ..., for clips of 2 frames", least=0
    )

    @classmethod
    def prefix(cls, values: dict[str, Any], outer: str) -> str:
        """A flow loss is that of a stage."""
        return f"{outer}flow_loss."


@dataclasses.dataclass
class StageOptions(Options):
    """Options of a stage of training, `stages.STAGE.NAME`."""

    name: str = option(None, "name of the stage", needed=True)
    streams: tuple[Stream, ...] = option(None, "streams that run", needed=True)
    train: tuple[Stream, ...] | None = option(
        None, "parts that learn; None is the streams that run"
    )
    freeze: tuple[str, ...] = option(
        (), "layers that do not learn, by patterns such as motion/conv1*"
    )
    freeze_normalization: bool = option(
        False, "whether batch normalization computes with its moving statistics"
    )
    steps: int = option(None, "optimizer steps", least=1, needed=True)
    steps_per_video: float | None = option(
        None, "at least so many steps for each training video", above=0
    )
    epoch: int = option(50, "optimizer steps between saved states", least=1)
    patience: int = option(
        0, "epochs without a lower validation loss that end the stage; 0 for none", least=0
    )
    batch_size: int | None = option(None, "clips per batch; None is the run's", least=1)
    gradient_accumulation_steps: int = option(1, "batches per optimizer step", least=1)
    cached_flow: bool = option(
        False, "whether the flow of each video is computed once, by a frozen MotionNet"
    )
    optimizer: Literal["adam", "sgd"] = option("adam", "update rule")
    learning_rate: float = option(None, "highest learning rate", least=0, needed=True)
    schedule: Literal["constant", "cosine", "multistep"] = option(
        "cosine", "course of the learning rate"
    )
    warmup: int = option(0, "steps over which the rate grows from 0", least=0)
    boundaries: tuple[int, ...] = option(
        (),
        "steps at which a multistep rate falls",
        takes="the steps at which the rate falls, such as (1000, 2000) or (1000,)",
    )
    factor: float = option(0.1, "factor by which a multistep rate falls", above=0)
    lr_multipliers: dict[str, float] = option(
        dict, "factor on the learning rate of parts, layers, kernels or biases"
    )
    global_clipnorm: float | None = option(
        1.0, "largest norm of all gradients together", above=0
    )
    weight_decay: float | None = option(0.0, "factor of the weight decay", least=0)
    weight_decay_kind: Literal["decoupled", "coupled"] = option(
        "decoupled", "decay of the weight itself, or by the gradient as in Caffe"
    )
    decay_biases: bool = option(False, "whether biases and normalization decay too")
    ema: float | None = option(
        None, "momentum of a moving average of the weights", above=0, below=1
    )
    flow_loss: FlowLossOptions | None = option(
        None, "options of the flow loss; None learns from classes alone"
    )
    flow_loss_weight: float = option(1.0, "factor on the flow loss", least=0)
    action_loss_weight: float = option(1.0, "factor on the loss of classes", least=0)
    label_smoothing: float = option(
        0.0, "share of each label spread over all classes", least=0, most=1
    )
    consensus: Literal["average", "max", "top_k"] = option(
        "average", "how segments of a video are joined"
    )
    jit_compile: bool | Literal["auto"] = option(
        "auto", "whether XLA compiles the step; on JAX it always does"
    )

    @classmethod
    def prefix(cls, values: dict[str, Any], outer: str) -> str:
        """A stage is named."""
        return f"stage {values.get('name') or 'without a name'!r}: "

    def check(self, where: str) -> None:
        """As `Options.check`, and that nothing needed is missing."""
        self.require(where)
        super().check(where)


@dataclasses.dataclass
class RunOptions(Options):
    """Options of a run: what a recipe returns and `train` takes.

    Example:

    ```python
    stage = StageOptions(
        name="temporal", streams=("temporal",), steps=500, learning_rate=1e-3
    )
    data = DataOptions(
        kind="videos", root="my_videos", num_frames=16, image_size=(128, 128)
    )
    model = ModelOptions(motion="small_video", temporal="small")
    options = RunOptions(
        name="mine", seed=1, batch_size=16, data=data, model=model, stages=[stage]
    )
    train(options, "runs/mine")
    ```
    """

    name: str = option(None, "name of the run", needed=True)
    seed: int = option(None, "seed of weights and draws", least=0, needed=True)
    data: DataOptions = option(None, "what is learned from", needed=True)
    model: ModelOptions = option(ModelOptions, "what learns")
    batch_size: int = option(None, "clips per batch on all devices", least=1, needed=True)
    dtype_policy: Literal["float32", "mixed_bfloat16", "mixed_float16"] = option(
        "float32", "precision; losses and warps stay float32"
    )
    strategy: str = option("none", "'mirrored' for a replica on each GPU of this machine")
    tensorboard: bool = option(True, "whether to write event files for TensorBoard")
    minutes: float | None = option(
        None, "time on two cores that --budget scales from", above=0
    )
    refit: bool = option(
        False,
        "whether to train again on all videos once those of validation have been used",
    )
    stages: list[StageOptions] = option(None, "stages, one after another", needed=True)

    @classmethod
    def prefix(cls, values: dict[str, Any], outer: str) -> str:
        """The whole recipe."""
        return "recipe: "

    def check(self, where: str) -> None:
        """As `Options.check`, and that stages and data fit."""
        super().check(where)
        if self.data is None:
            return
        for stage in self.stages or ():
            _check_targets(stage, self.data)
            if stage.cached_flow:
                _check_cached_flow(stage.name, self.data)

    def scale_steps(self, minutes: float) -> None:
        """Scales the steps of all stages so that the run takes about so many minutes.

        Raises:
            UserError: the recipe does not say how long it takes, or `minutes` is not
                positive.
        """
        if not self.minutes:
            raise UserError(
                f"the recipe {self.name!r} does not say how many minutes it takes, so "
                "--budget cannot scale it; set the steps of its stages"
            )
        if not minutes > 0:
            raise UserError(f"--budget takes minutes above 0; received {minutes}")
        for stage in self.stages:
            stage.steps = max(1, round(stage.steps * minutes / self.minutes))
            if stage.steps_per_video is not None:
                stage.steps_per_video *= minutes / self.minutes
        self.minutes = minutes

    def with_steps_for(self, videos: int) -> "RunOptions":
        """The same, every stage with the steps that it takes for so many videos."""
        stages = []
        for stage in self.stages:
            if stage.steps_per_video is not None:
                steps = max(stage.steps, round(stage.steps_per_video * videos))
                stage = dataclasses.replace(stage, steps=steps, steps_per_video=None)
            stages.append(stage)
        return dataclasses.replace(self, stages=stages)


def run_options(values: Any) -> RunOptions:
    """Checked `RunOptions` with everything that a run needs.

    Args:
        values: `RunOptions`, or a dict of plain values such as config.json holds.

    Raises:
        UserError: an option that there is not, a value that it does not take, values that
            do not fit together, or one that is missing.
    """
    options = RunOptions.of(values)
    options.require("recipe: ")
    return options


def _check_targets(stage, data):
    supervised = stage.flow_loss is not None and stage.flow_loss.kind == "supervised"
    if supervised and data.targets != "flow":
        raise UserError(
            f"stage {stage.name!r}: flow_loss.kind='supervised' learns from true flow, "
            "which data.targets='flow' gives (of synthetic clips)"
        )
    if data.targets == "flow" and set(stage.streams) - {"motion"}:
        raise UserError(
            f"stage {stage.name!r}: learns classes, and data.targets='flow' gives true "
            "flow instead of labels; leave data.targets out"
        )


def _check_cached_flow(name, data):
    if data.kind in ("records", *SYNTHETIC):
        raise UserError(
            f"stage {name!r}: cached_flow needs videos or folders of frames; with "
            f"data.kind={data.kind!r} set stages.{name}.cached_flow=False"
        )
    if not isinstance(data.decode_size, tuple):
        raise UserError(
            f"stage {name!r}: cached_flow needs frames of one size: give data.decode_size "
            f"as (height, width), multiples of 32; received {data.decode_size!r}"
        )
