"""Pure functions in keras.ops: any backend, no state."""

from h2s_keras.ops.census import census_distance, census_transform
from h2s_keras.ops.charbonnier import charbonnier
from h2s_keras.ops.flow import (
    channels_to_flow,
    clip_to_channels,
    flow_to_channels,
    pixel_grid,
    resize_flow,
)
from h2s_keras.ops.flow_terms import motion_consistency, warp_from_margin
from h2s_keras.ops.normalization import local_response_normalization
from h2s_keras.ops.occlusion import (
    forward_backward_visibility,
    range_map,
    range_map_visibility,
)
from h2s_keras.ops.quantize import dequantize_flow, flow_to_uint8, quantize_flow
from h2s_keras.ops.resize import resize_bilinear
from h2s_keras.ops.smoothness import border_mask, flow_smoothness
from h2s_keras.ops.ssim import patch_ssim
from h2s_keras.ops.warp import backward_warp

__all__ = [
    "backward_warp",
    "border_mask",
    "census_distance",
    "census_transform",
    "channels_to_flow",
    "charbonnier",
    "clip_to_channels",
    "flow_smoothness",
    "flow_to_channels",
    "quantize_flow",
    "flow_to_uint8",
    "forward_backward_visibility",
    "dequantize_flow",
    "local_response_normalization",
    "motion_consistency",
    "patch_ssim",
    "pixel_grid",
    "range_map",
    "range_map_visibility",
    "resize_bilinear",
    "resize_flow",
    "warp_from_margin",
]
