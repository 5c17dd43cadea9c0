from typing import Any

import keras
from keras import ops

from h2s_keras.layers.image_preprocessing import RGB_MEAN
from h2s_keras.ops.clip_range import warn_unit_range
from h2s_keras.ops.flow import (
    channels_to_clip,
    clip_to_channels,
    level_names,
    size_of,
)
from h2s_keras.ops.flow_terms import (
    OCCLUSION,
    PHOTOMETRIC,
    crop_margin,
    motion_consistency,
    photometric_terms,
    visibility,
)
from h2s_keras.ops.normalization import local_response_normalization
from h2s_keras.ops.resize import resize_bilinear
from h2s_keras.ops.smoothness import border_mask, flow_smoothness
from h2s_keras.ops.warp import PADDINGS
from h2s_keras.tensor_types import Flows, Shape, Tensor

TERMS = ("photometric", "smoothness", "ssim")

# Per level, fine to coarse.
_GROWING = (0.01, 0.02, 0.04, 0.08, 0.16)
_ONES = (1.0,) * 5
WEIGHTINGS = {
    # 1 and 1 are the paper's; the paper gives no numbers for smoothness, these are those
    # of Bohnslav et al. 2021 (DeepEthogram, eLife), who trained the method anew.
    "paper": {"photometric": _ONES, "smoothness": _GROWING, "ssim": _ONES},
    # loss_weight of the released train prototxt.
    "released": {"photometric": _ONES, "smoothness": _ONES, "ssim": _GROWING},
}
# Batches of the released prototxts, by which their Charbonnier layers divide once more.
RELEASED_BATCHES = {"motion": 16, "end_to_end": 8}
# Differences are summed over all pairs and divided by the mask, of 3 channels per pair.
_RELEASED_SMOOTHNESS = 1.0 / 3.0
# The prototxts' rounded 1 / 255.
_RELEASED_SCALE = 0.0039216
# What a mismatch costs at most is about 1 by census, and 5 to 13 on real video by colour.
CENSUS_WEIGHT = 10.0


@keras.saving.register_keras_serializable(package="h2s_keras")
class UnsupervisedFlowLoss(keras.layers.Layer):
    """How badly flow explains a clip: the loss that teaches MotionNet without labels.

    At every level, frame t+1 is warped backward by the flow of pair t and compared with
    frame t by a Charbonnier penalty and by SSIM; the flow itself pays for its forward
    differences. Frames are mean-subtracted, scaled to about -0.5..0.6, local-response
    normalised and shrunk to the level by a triangle filter. All pairs of a clip share
    one warp per level. Everything is float32 under any dtype policy.

    Options beyond the paper, each measured in docs/results.md: `photometric="census"`,
    `edge_weight`, `smoothness_order=2`, `occlusion`, `consistency_weight`, and clips that
    are larger than their flow.

    Args:
        weighting: "paper": equations 1 to 4 as published. Photometric 1 and SSIM 1 on
            means; smoothness is the sum of four means (of u and v, in x and y) by 0.01 to
            0.16, fine to coarse, which are not the paper's but Bohnslav et al.'s (2021).
            "released": what the released prototxts compute. Photometric and smoothness
            are divided by `released_batch`, smoothness also by 3. SSIM by 0.01 to 0.16 is
            a sum over patches and channels (58.8 to 4.8 on the mean for 11 frames at
            224x224). Frames shrink with their corners aligned.
        photometric_weight, smoothness_weight, ssim_weight: factors on the three terms;
            0 leaves a term out.
        border: share of the short side, rounded to pixels, that is ignored at every edge
            by the photometric and smoothness terms; the release's 0.1.
        padding: padding of the warp.
        photometric: "charbonnier" compares colours, "census" the patterns around each
            pixel, which brightness changes do not touch (ops.census); it counts 10 times,
            since a mismatch costs about a tenth.
        smoothness_order: 1 favours constant flow, 2 affine flow.
        edge_weight: flow may jump where the image does (ops.smoothness); about 10 for
            video, 0 for the paper's plain term.
        occlusion: None, "forward_backward" or "range_map": pixels that are hidden in the
            next frame, or whose flow leaves the clip, are not compared (ops.occlusion).
            Needs `backward_flows`.
        consistency_weight: factor on the change of a point's flow from pair to pair
            (`ops.flow_terms.motion_consistency`), at the weights of smoothness.
        released_batch: batch that the released losses are divided by, apart from the mean
            over the batch: "motion" (16, MotionNet alone), "end_to_end" (8), or a number.
            Without effect under "paper".

    Call arguments:
        clips: (batch, time, height, width, 3) RGB 0..255, any dtype.
        flows: dict "flow{n}" -> float (batch, time-1, h, w, 2), pixels of its own grid;
            up to five levels. Other outputs of a model, as its logits, are left alone.
        smoothness_scale: scalar factor on smoothness, for a ramp during training.
        backward_flows: flows of the clip played backwards, in its own order of pairs, for
            `occlusion`; None compares everything.
        occlusion_scale: scalar 0..1, 0 ignores the masks, for a start without them.
        margin: pixels by which the clips are larger, on every side, than what flow lies
            on; whole pixels of every level. Flow then finds what enters from outside.

    Returns:
        dict "photometric", "smoothness", "ssim", with its weight "consistency", and their
        sum "total", each float32 (batch,), weighted and summed over the levels: the mean
        over a batch does not depend on how the batch was split.

    Raises:
        ValueError: for an unknown option, no or more than five levels, a number of pairs
            other than time-1, or a margin that does not fit the levels.

    Example:
        >>> clips = np.zeros((2, 3, 64, 64, 3), "uint8")
        >>> flows = {"flow2": keras.ops.zeros((2, 2, 32, 32, 2))}
        >>> UnsupervisedFlowLoss()(clips, flows)["total"].shape
        (2,)

    Reference: arXiv 1704.00389, equations 1 to 4; released train and end-to-end prototxts.
    """

    def __init__(
        self,
        weighting: str = "paper",
        photometric_weight: float = 1.0,
        smoothness_weight: float = 1.0,
        ssim_weight: float = 1.0,
        border: float = 0.1,
        padding: str = "zeros",
        photometric: str = "charbonnier",
        smoothness_order: int = 1,
        edge_weight: float = 0.0,
        occlusion: str | None = None,
        consistency_weight: float = 0.0,
        released_batch: str | float = "motion",
        **kwargs: Any,
    ) -> None:
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        self.built = True  # without weights, as ImagePreprocessing says
        for name, value, known in (
            ("weighting", weighting, sorted(WEIGHTINGS)),
            ("padding", padding, PADDINGS),
            ("photometric", photometric, PHOTOMETRIC),
            ("smoothness_order", smoothness_order, (1, 2)),
            ("occlusion", occlusion, OCCLUSION),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {known}; received {value!r}.")
        batch: Any = RELEASED_BATCHES.get(released_batch, released_batch)  # type: ignore[arg-type]
        if isinstance(batch, str) or not batch > 0:
            raise ValueError(
                f"released_batch must be one of {sorted(RELEASED_BATCHES)} or a positive "
                f"number; received {released_batch!r}."
            )
        if not 0.0 <= border < 0.5:
            raise ValueError(f"border must be in [0, 0.5); received {border}.")
        self.weighting, self.released_batch = weighting, released_batch
        self._batch = float(batch)
        self.photometric_weight = photometric_weight
        self.smoothness_weight = smoothness_weight
        self.ssim_weight = ssim_weight
        self.border, self.padding = border, padding
        self.photometric, self.smoothness_order = photometric, smoothness_order
        self.edge_weight, self.occlusion = edge_weight, occlusion
        self.consistency_weight = consistency_weight

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms that a call gives, without "total"."""
        return (*TERMS, "consistency") if self.consistency_weight else TERMS

    def call(
        self,
        clips: Tensor,
        flows: Flows,
        smoothness_scale: Any = 1.0,
        backward_flows: Flows | None = None,
        occlusion_scale: Any = 1.0,
        margin: int = 0,
    ) -> Flows:
        warn_unit_range(clips, type(self).__name__)
        names = level_names(flows)
        self._validate(clips, flows, names, margin)
        images = ops.cast(clips, "float32") - ops.convert_to_tensor(RGB_MEAN, "float32")
        released = self.weighting == "released"
        images = images * _RELEASED_SCALE if released else images / 255.0
        normalized = clip_to_channels(local_response_normalization(images))
        # Census patterns and edges are those of the picture itself.
        plain = self.photometric == "census" or self.edge_weight
        images = clip_to_channels(images) if plain else None
        table = WEIGHTINGS[self.weighting]
        factors = {
            "photometric": self.photometric_weight,
            "smoothness": self.smoothness_weight * smoothness_scale,
            "ssim": self.ssim_weight,
            "consistency": self.consistency_weight,
        }
        totals = dict.fromkeys(self.terms, 0.0)
        for index, name in enumerate(names):
            flow = ops.cast(flows[name], "float32")
            level_margin = margin and margin * flow.shape[2] // (
                clips.shape[2] - 2 * margin
            )
            seen = None
            if self.occlusion is not None and backward_flows is not None:
                backward_flow = ops.cast(backward_flows[name], "float32")
                seen = self._seen(flow, backward_flow, level_margin)
                seen = 1.0 - occlusion_scale * (1.0 - seen)
            terms = self._level(normalized, images, flow, seen, level_margin)
            for term in self.terms:
                column = "smoothness" if term == "consistency" else term
                weight = table[column][index] * factors[term]
                totals[term] = totals[term] + weight * terms[term]
        totals["total"] = sum(totals[term] for term in self.terms)
        return totals

    def _seen(self, flow, backward_flow, margin):
        """Visibility of every pair: the backward clip holds its pairs last to first."""
        height, width = size_of(flow, 2), size_of(flow, 3)
        flat = ops.reshape(flow, (-1, height, width, 2))
        back = ops.reshape(ops.flip(backward_flow, axis=1), (-1, height, width, 2))
        return visibility(flat, back, str(self.occlusion), margin)

    def _level(self, normalized, images, flow, seen, margin):
        """Unweighted terms of one level, each (batch,)."""
        pairs, height, width = flow.shape[1], size_of(flow, 2), size_of(flow, 3)
        size = (height + 2 * margin, width + 2 * margin)
        released = self.weighting == "released"
        compared = _pairs(resize_bilinear(normalized, size, released), pairs)
        frames = compared
        if images is not None:
            frames = _pairs(resize_bilinear(images, size, released), pairs)
        flat = ops.reshape(flow, (-1, height, width, 2))
        terms = photometric_terms(
            frames,
            flat,
            normalized=None if images is None else compared,
            margin=margin,
            seen=seen,
            photometric=self.photometric,
            border=self.border,
            padding=self.padding,
        )
        terms["smoothness"] = flow_smoothness(
            flat,
            border_mask(height, width, self.border),
            order=self.smoothness_order,
            image=crop_margin(frames[0], margin) if self.edge_weight else None,
            edge_weight=self.edge_weight,
            undefined="zero" if released else "skip",
        )
        if self.photometric == "census":
            terms["photometric"] = CENSUS_WEIGHT * terms["photometric"]
        if released:
            terms["photometric"] = terms["photometric"] / self._batch
            factor = _RELEASED_SMOOTHNESS / self._batch
            terms["smoothness"] = factor * terms["smoothness"]
            # A sum over patches, channels and pairs, as the released layer reduces.
            terms["ssim"] = ops.sum(terms["ssim"], axis=(1, 2, 3)) * pairs
        else:
            terms["ssim"] = ops.mean(terms["ssim"], axis=(1, 2, 3))
        terms = {
            name: ops.mean(ops.reshape(value, (-1, pairs)), axis=1)
            for name, value in terms.items()
        }
        if self.consistency_weight:
            consistency = motion_consistency(flow, self.border)
            terms["consistency"] = consistency / self._batch if released else consistency
        return terms

    def _validate(self, clips, flows, names, margin):
        if not 1 <= len(names) <= 5:
            raise ValueError(
                f"flows must hold one to five levels flow2 .. flow6; received {names}."
            )
        for name in names:
            shape = tuple(flows[name].shape)
            if len(shape) != 5 or shape[-1] != 2 or shape[1] != clips.shape[1] - 1:
                raise ValueError(
                    f"{name} must be (batch, {clips.shape[1] - 1}, height, width, 2) for "
                    f"clips {tuple(clips.shape)}; received {shape}."
                )
            if not margin:
                continue
            sizes = [(clips.shape[axis], shape[axis]) for axis in (2, 3)]
            if any(None in size for size in sizes) or any(
                margin * small % (large - 2 * margin) for large, small in sizes
            ):
                raise ValueError(
                    f"A margin of {margin} pixels must be whole pixels of every level and "
                    f"sizes known; received clips {tuple(clips.shape)} and {name} {shape}."
                )
        if self.consistency_weight and clips.shape[1] < 3:
            raise ValueError("consistency_weight needs clips of 3 frames or more.")

    def compute_output_shape(self, clips_shape: Shape, flows_shape: Any) -> Any:
        return {name: (clips_shape[0],) for name in (*self.terms, "total")}

    def compute_output_spec(
        self, clips: Tensor, flows: Flows, *args: Any, **kwargs: Any
    ) -> Any:
        shapes = self.compute_output_shape(clips.shape, None)
        return {
            name: keras.KerasTensor(shape, dtype="float32")
            for name, shape in shapes.items()
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "weighting": self.weighting,
            "photometric_weight": self.photometric_weight,
            "smoothness_weight": self.smoothness_weight,
            "ssim_weight": self.ssim_weight,
            "border": self.border,
            "padding": self.padding,
            "photometric": self.photometric,
            "smoothness_order": self.smoothness_order,
            "edge_weight": self.edge_weight,
            "occlusion": self.occlusion,
            "consistency_weight": self.consistency_weight,
            "released_batch": self.released_batch,
        }


def _pairs(channels, pairs):
    """(batch, h, w, (pairs+1)*3) -> first and second frames, (batch*pairs, h, w, 3)."""
    height, width = size_of(channels, 1), size_of(channels, 2)
    frames = channels_to_clip(channels, pairs + 1)
    parts = frames[:, :-1], frames[:, 1:]
    return [ops.reshape(part, (-1, height, width, 3)) for part in parts]
