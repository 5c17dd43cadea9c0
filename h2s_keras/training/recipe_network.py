"""The untrained network that a recipe describes."""

from h2s_keras.layers.quantized_flow_adapter import QuantizedFlowAdapter
from h2s_keras.models.backbones import build_backbone
from h2s_keras.models.builder import HiddenTwoStreamBuilder
from h2s_keras.models.motion_net import VARIANTS, MotionNet
from h2s_keras.models.stored_flow import StoredFlowStream
from h2s_keras.training.stage_options import complete_config


def build_network(config, class_names):
    """The untrained network of a recipe's "model" values."""
    config = complete_config(config)
    model, data = config["model"], config["data"]
    size, frames = tuple(data["image_size"]), data["num_frames"]
    if model["motion"] == "stored":
        temporal = build_backbone(
            model["temporal"],
            (*size, 2 * (frames - 1)),
            len(class_names),
            model["temporal_dropout"],
            model["temporal_weights"],
            "temporal",
            model["temporal_partial_batch_normalization"],
            model["rematerialize"],
        )
        adapter = QuantizedFlowAdapter(scale=1, **model["adapter"])
        return StoredFlowStream(temporal, adapter, class_names)
    if model["temporal"] is None:
        return _motion_alone(model, frames, size)
    builder = HiddenTwoStreamBuilder(class_names, frames, size)
    builder.motion(model["motion"], **model["motion_options"])
    if model["adapter"]:
        builder.adapter(**model["adapter"])
    builder.temporal(
        model["temporal"],
        weights=model["temporal_weights"],
        dropout=model["temporal_dropout"],
        branched=model["branched"],
        partial_batch_normalization=model["temporal_partial_batch_normalization"],
    )
    if model["spatial"]:
        builder.spatial(
            model["spatial"],
            weights=model["spatial_weights"],
            dropout=model["spatial_dropout"],
            partial_batch_normalization=model["spatial_partial_batch_normalization"],
        )
    spatial_weight, temporal_weight = model["fusion"]
    builder.fusion(spatial=spatial_weight, temporal=temporal_weight)
    return builder.build(
        frame_stride=data.get("stride", 1),
        rematerialize=model["rematerialize"],
        frame_rate=data.get("rate"),
    )


def _motion_alone(model, frames, size):
    """The MotionNet of a recipe that trains nothing else."""
    motion = model["motion"]
    if motion in VARIANTS:
        motion_net = MotionNet(frames, motion, **model["motion_options"])
        motion_net.rematerialize = model["rematerialize"]
    else:
        motion_net = MotionNet.from_preset(motion, frames)
    motion_net.build((None, frames, *size, 3))
    return motion_net
