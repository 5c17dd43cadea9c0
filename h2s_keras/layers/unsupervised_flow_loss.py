import keras
from keras import ops

from h2s_keras.layers.image_preprocessing import RGB_MEAN
from h2s_keras.ops.charbonnier import charbonnier
from h2s_keras.ops.flow import clip_to_channels, size_of
from h2s_keras.ops.normalization import local_response_normalization
from h2s_keras.ops.resize import resize_bilinear
from h2s_keras.ops.smoothness import border_mask, flow_smoothness, masked_mean
from h2s_keras.ops.ssim import patch_ssim
from h2s_keras.ops.warp import PADDINGS, backward_warp

TERMS = ("photometric", "smoothness", "ssim")

# Per level, fine to coarse.
_GROWING = (0.01, 0.02, 0.04, 0.08, 0.16)
_RELEASED_BATCH = 16
WEIGHTINGS = {
    "paper": {"photometric": (1.0,) * 5, "smoothness": _GROWING, "ssim": (1.0,) * 5},
    "released": {
        # The released Charbonnier layer divides its mean by the batch size once more.
        "photometric": (1.0 / _RELEASED_BATCH,) * 5,
        "smoothness": (1.0 / _RELEASED_BATCH,) * 5,
        "ssim": _GROWING,
    },
}


@keras.saving.register_keras_serializable(package="h2s_keras")
class UnsupervisedFlowLoss(keras.layers.Layer):
    """How badly flow explains a clip: the loss that teaches MotionNet without labels.

    At every level, frame t+1 is warped backward by the flow of pair t and compared with
    frame t by a Charbonnier penalty and by SSIM; the flow itself pays for its forward
    differences. Frames are mean-subtracted, scaled to about -0.5..0.6, local-response
    normalised and shrunk to the level by a triangle filter. All pairs of a clip share
    one warp a level. Everything is float32 under any dtype policy.

    Args:
        weighting: "paper": photometric 1, SSIM 1, smoothness 0.01 to 0.16 fine to
            coarse, plain means. "released": photometric and smoothness 1 over the
            released batch of 16, SSIM 0.01 to 0.16 on the sum over its patches and
            channels (58.8 to 4.8 on the mean for 11 frames at 224x224).
        photometric_weight, smoothness_weight, ssim_weight: factors on the three terms;
            0 leaves a term out.
        border: share of the short side that is ignored at every edge by the photometric
            and smoothness terms.
        padding: of the warp.

    Call arguments:
        clips: (batch, time, height, width, 3) RGB 0..255, any dtype.
        flows: dict "flow{n}" -> float (batch, time-1, h, w, 2), pixels of its own grid;
            up to five levels.
        smoothness_scale: scalar factor on smoothness, for a ramp during training.

    Returns:
        dict "photometric", "smoothness", "ssim" and their sum "total", each float32
        (batch,), weighted and summed over the levels: the mean over a batch does not
        depend on how the batch was split.

    Raises:
        ValueError: for an unknown weighting or padding, no or more than five levels, or a
            number of pairs other than time-1.

    Example:
        >>> clips = np.zeros((2, 3, 64, 64, 3), "uint8")
        >>> flows = {"flow2": keras.ops.zeros((2, 2, 32, 32, 2))}
        >>> UnsupervisedFlowLoss()(clips, flows)["total"].shape
        (2,)

    Source: arXiv 1704.00389, equations 1 to 4; released train prototxt.
    """

    def __init__(
        self,
        weighting="paper",
        photometric_weight=1.0,
        smoothness_weight=1.0,
        ssim_weight=1.0,
        border=0.1,
        padding="zeros",
        **kwargs,
    ):
        kwargs["autocast"] = False
        super().__init__(**kwargs)
        if weighting not in WEIGHTINGS:
            raise ValueError(
                f"weighting must be one of {sorted(WEIGHTINGS)}; received {weighting!r}."
            )
        if not 0.0 <= border < 0.5:
            raise ValueError(f"border must be in [0, 0.5); received {border}.")
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {PADDINGS}; received {padding!r}.")
        self.weighting = weighting
        self.photometric_weight = photometric_weight
        self.smoothness_weight = smoothness_weight
        self.ssim_weight = ssim_weight
        self.border, self.padding = border, padding

    def call(self, clips, flows, smoothness_scale=1.0):
        names = sorted(flows, key=lambda name: int(name.removeprefix("flow")))
        self._validate(clips, flows, names)
        images = ops.cast(clips, "float32") - ops.convert_to_tensor(RGB_MEAN, "float32")
        images = local_response_normalization(images / 255.0)
        channels = clip_to_channels(images)
        table = WEIGHTINGS[self.weighting]
        factors = {
            "photometric": self.photometric_weight,
            "smoothness": self.smoothness_weight * smoothness_scale,
            "ssim": self.ssim_weight,
        }
        totals = dict.fromkeys(TERMS, 0.0)
        for index, name in enumerate(names):
            terms = self._level(channels, ops.cast(flows[name], "float32"))
            for term in TERMS:
                weight = table[term][index] * factors[term]
                totals[term] = totals[term] + weight * terms[term]
        totals["total"] = sum(totals[term] for term in TERMS)
        return totals

    def _level(self, channels, flow):
        """Unweighted terms of one level, each (batch,)."""
        pairs = flow.shape[1]
        height, width = size_of(flow, 2), size_of(flow, 3)
        frames = resize_bilinear(channels, (height, width))
        frames = ops.reshape(frames, (-1, height, width, pairs + 1, 3))
        frames = ops.transpose(frames, (0, 3, 1, 2, 4))
        first = ops.reshape(frames[:, :-1], (-1, height, width, 3))
        second = ops.reshape(frames[:, 1:], (-1, height, width, 3))
        flat_flow = ops.reshape(flow, (-1, height, width, 2))
        warped = backward_warp(second, flat_flow, self.padding)
        mask = border_mask(height, width, self.border)

        difference = charbonnier(255.0 * (first - warped), alpha=0.4)
        dissimilarity = 1.0 - patch_ssim(first, warped)
        if self.weighting == "released":
            # A sum over patches, channels and pairs, as the released layer reduces.
            ssim = ops.sum(dissimilarity, axis=(1, 2, 3)) * pairs
        else:
            ssim = ops.mean(dissimilarity, axis=(1, 2, 3))
        terms = {
            "photometric": masked_mean(difference, mask),
            "smoothness": flow_smoothness(flat_flow, mask),
            "ssim": ssim,
        }
        return {
            name: ops.mean(ops.reshape(value, (-1, pairs)), axis=1)
            for name, value in terms.items()
        }

    def _validate(self, clips, flows, names):
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

    def compute_output_shape(self, clips_shape, flows_shape):
        return {name: (clips_shape[0],) for name in (*TERMS, "total")}

    def compute_output_spec(self, clips, flows, smoothness_scale=1.0):
        shapes = self.compute_output_shape(clips.shape, None)
        return {
            name: keras.KerasTensor(shape, dtype="float32")
            for name, shape in shapes.items()
        }

    def get_config(self):
        return {
            **super().get_config(),
            "weighting": self.weighting,
            "photometric_weight": self.photometric_weight,
            "smoothness_weight": self.smoothness_weight,
            "ssim_weight": self.ssim_weight,
            "border": self.border,
            "padding": self.padding,
        }
