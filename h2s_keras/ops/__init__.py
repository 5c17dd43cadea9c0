"""Pure functions in keras.ops: any backend, no state."""

from h2s_keras.ops.charbonnier import charbonnier
from h2s_keras.ops.flow import (
    channels_to_flow,
    clip_to_channels,
    flow_to_channels,
    pixel_grid,
    resize_flow,
)
from h2s_keras.ops.normalization import local_response_normalization
from h2s_keras.ops.quantize import flow_to_levels, flow_to_uint8, levels_to_flow
from h2s_keras.ops.resize import resize_bilinear
from h2s_keras.ops.smoothness import border_mask, flow_smoothness
from h2s_keras.ops.ssim import patch_ssim
from h2s_keras.ops.warp import backward_warp

__all__ = [
    "backward_warp",
    "border_mask",
    "channels_to_flow",
    "charbonnier",
    "clip_to_channels",
    "flow_smoothness",
    "flow_to_channels",
    "flow_to_levels",
    "flow_to_uint8",
    "levels_to_flow",
    "local_response_normalization",
    "patch_ssim",
    "pixel_grid",
    "resize_bilinear",
    "resize_flow",
]
