"""The untrained network that a recipe describes."""

import dataclasses
import socket

import keras

from h2s_keras.errors import UserError
from h2s_keras.evaluation.protocol import Protocol
from h2s_keras.layers.quantized_flow_adapter import QuantizedFlowAdapter
from h2s_keras.models.backbones import build_backbone
from h2s_keras.models.builder import HiddenTwoStreamBuilder, flow_bound
from h2s_keras.models.motion_net import MotionNet
from h2s_keras.models.motion_net_variants import VARIANTS
from h2s_keras.models.stored_flow import StoredFlowStream
from h2s_keras.options import RunOptions

# Of "spatial_weights".
IF_AVAILABLE = "imagenet_if_available"
_SECONDS = 15  # that a server may take to answer


def build_network(config, class_names):
    """The untrained network of a run's options of the model."""
    config = RunOptions.of(config)
    model, data = config.model, config.data
    size, frames = data.image_size, data.num_frames
    if model.motion == "stored":
        temporal = build_backbone(
            model.temporal,
            (*size, 2 * (frames - 1)),
            len(class_names),
            model.temporal_dropout,
            model.temporal_weights,
            "temporal",
            model.temporal_partial_batch_normalization,
            model.rematerialize,
        )
        options = {"bound": flow_bound(size), **model.adapter}
        adapter = QuantizedFlowAdapter(scale=1, **options)
        return StoredFlowStream(temporal, adapter, class_names)
    if model.temporal is None:
        return _motion_alone(model, frames, size)
    builder = HiddenTwoStreamBuilder(class_names, frames, size)
    builder.motion(_motion(model, frames, size), **model.motion_options)
    if model.adapter:
        builder.adapter(**model.adapter)
    builder.temporal(
        model.temporal,
        weights=model.temporal_weights,
        dropout=model.temporal_dropout,
        branched=model.branched,
        partial_batch_normalization=model.temporal_partial_batch_normalization,
    )
    if model.spatial:
        builder.spatial(
            model.spatial,
            weights=model.spatial_weights,
            dropout=model.spatial_dropout,
            partial_batch_normalization=model.spatial_partial_batch_normalization,
        )
    spatial_weight, temporal_weight = model.fusion
    builder.fusion(spatial=spatial_weight, temporal=temporal_weight)
    return builder.build(
        frame_stride=data.stride,
        rematerialize=model.rematerialize,
        frame_rate=data.rate,
        test_protocol=Protocol.of_run(data).to_model(),
    )


def _motion(model, frames, size):
    """What the builder takes for "motion": a variant's name, or a trained MotionNet."""
    if model.motion in VARIANTS or model.motion_options:
        return model.motion
    return _trained_motion_net(model.motion, frames, size)


def _trained_motion_net(preset, frames, size):
    """A trained MotionNet under the run's dtype policy, whichever it was saved with."""
    trained = MotionNet.from_preset(preset, frames)
    config = trained.get_config()
    motion_net = MotionNet.from_config({**config, "dtype": keras.config.dtype_policy()})
    motion_net.build((None, frames, *size, 3))
    motion_net.set_weights(trained.get_weights())
    return motion_net


def _motion_alone(model, frames, size):
    """The MotionNet of a recipe that trains nothing else."""
    motion = model.motion
    if motion in VARIANTS:
        motion_net = MotionNet(frames, motion, **model.motion_options)
        motion_net.build((None, frames, *size, 3))
    else:
        motion_net = _trained_motion_net(motion, frames, size)
    motion_net.rematerialize = model.rematerialize
    return motion_net


def with_available_weights(config, say):
    """`config` whose spatial stream has ImageNet weights where they can be had.

    For "imagenet_if_available": a network of keras.applications with the weights in Keras'
    cache or from the network; else the backbone "small", from random weights, with a line
    that says so.

    Args:
        config: `RunOptions`.
        say: function of a line of text.
    """
    model = config.model
    if model.spatial_weights != IF_AVAILABLE:
        return config
    weights, backbone = "imagenet", model.spatial
    shape = (*config.data.image_size, 3)
    waiting = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS)
    try:
        build_backbone(backbone, shape, 2, weights=weights)
    except (UserError, ValueError, OSError) as error:
        # What Keras said of the file, not the advice on "imagenet", which nobody asked for.
        reason = " ".join(str(error.__cause__ or error).split())[:160]
        say(
            f"spatial: no ImageNet weights of {backbone} here ({reason}); a small network "
            "learns from scratch instead (--set model.spatial_weights=FILE takes a file of "
            "them)"
        )
        weights, backbone = None, "small"
    finally:
        socket.setdefaulttimeout(waiting)
    model = dataclasses.replace(model, spatial=backbone, spatial_weights=weights)
    return dataclasses.replace(config, model=model)
