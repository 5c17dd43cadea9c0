"""MotionNet in plain PyTorch, with given weights, for inference and for a training step."""

import json
import sys

from serve import serve

RGB_MEAN = (123.0, 117.0, 104.0)
# (name, kernel, stride, filters, whether a flow level reads it), as in the published table.
ENCODERS = {
    "motionnet": (
        [("conv1", 3, 1, 64, False), ("conv1_1", 3, 1, 64, False)]
        + [("conv2", 3, 2, 128, False), ("conv2_1", 3, 1, 128, True)]
        + [("conv3", 3, 2, 256, False), ("conv3_1", 3, 1, 256, True)]
        + [("conv4", 3, 2, 512, False), ("conv4_1", 3, 1, 512, True)]
        + [("conv5", 3, 2, 512, False), ("conv5_1", 3, 1, 512, True)]
        + [("conv6", 3, 2, 1024, False), ("conv6_1", 3, 1, 1024, True)],
        (512, 256, 128, 64),
        (0.625, 1.25, 2.5, 5.0, 10.0),
        "smooth_conv",
    ),
    "tiny": (
        [("conv1", 7, 1, 64, False), ("conv2", 5, 2, 128, True)]
        + [("conv3", 3, 2, 256, True), ("conv4", 3, 2, 128, True)],
        (128, 64),
        (2.5, 5.0, 10.0),
        "xconv",
    ),
}


def build(variant, frames):
    """(module from float clips (batch, frames*3, H, W) to flows, parts by Keras' names)."""
    import torch
    from torch import nn
    from torch.nn.functional import leaky_relu

    encoder, filters, scales, smooth = ENCODERS[variant]
    pairs = 2 * (frames - 1)

    class PlainMotionNet(nn.Module):
        def __init__(self):
            super().__init__()
            parts, channels, levels = {}, 3 * frames, []
            for name, kernel, stride, width, is_level in encoder:
                parts[name] = nn.Conv2d(channels, width, kernel, stride, kernel // 2)
                channels = width
                if is_level:
                    levels.append(width)
            coarsest = len(levels) + 1
            parts[f"flow{coarsest}"] = nn.Conv2d(channels, pairs, 3, padding=1)
            for step, width in enumerate(filters):
                level = coarsest - 1 - step
                up = f"upsample_flow{level + 1}to{level}"
                parts[f"deconv{level}"] = nn.ConvTranspose2d(channels, width, 4, 2, 1)
                parts[up] = nn.ConvTranspose2d(pairs, pairs, 4, 2, 1)
                joined = levels[-2 - step] + width + pairs
                parts[f"{smooth}{level}"] = nn.Conv2d(joined, width, 3, padding=1)
                parts[f"flow{level}"] = nn.Conv2d(width, pairs, 3, padding=1)
                channels = width
            self.parts, self.coarsest = nn.ModuleDict(parts), coarsest
            # No buffer: it stays in float32 when the weights are made shorter.
            self.mean = torch.tensor(RGB_MEAN * frames).reshape(1, -1, 1, 1)

        def forward(self, clips):
            features, parts = [], self.parts
            hidden = ((clips - self.mean) / 255.0).to(parts["conv1"].weight.dtype)
            for name, *_, is_level in encoder:
                hidden = leaky_relu(parts[name](hidden), 0.1)
                if is_level:
                    features.append(hidden)
            raw = parts[f"flow{self.coarsest}"](hidden)
            flows = [raw]
            for step in range(len(filters)):
                level = self.coarsest - 1 - step
                up = parts[f"upsample_flow{level + 1}to{level}"](raw)
                hidden = leaky_relu(parts[f"deconv{level}"](hidden), 0.1)
                hidden = torch.cat([features[-2 - step], hidden, up], dim=1)
                hidden = parts[f"{smooth}{level}"](hidden)
                raw = parts[f"flow{level}"](hidden)
                flows.append(raw)
            pairs_of = zip(flows, scales, strict=True)
            return [flow.float() * scale for flow, scale in pairs_of]

    return PlainMotionNet()


def load(module, file):
    """Copies the weights that Keras saved by their paths."""
    import numpy as np
    import torch

    arrays = {
        "/".join(path.split("/")[-2:]): value for path, value in np.load(file).items()
    }
    with torch.no_grad():
        for name, part in module.parts.items():
            # Keras' kernels are (height, width, in, out), transposed ones (.., out, in).
            kernel = torch.from_numpy(arrays[f"{name}/kernel"]).permute(3, 2, 0, 1)
            part.weight.copy_(kernel)
            part.bias.copy_(torch.from_numpy(arrays[f"{name}/bias"]))


def main(options):
    names = ("PyTorch", "torch.compile")
    try:
        import torch
    except ImportError as error:
        return serve({}, dict.fromkeys(names, str(error)))
    import numpy as np
    from torch_device import prepare

    device, serving = prepare(options)
    batch, frames, height, width, _ = options["clips"]
    clips = np.random.default_rng(0).integers(0, 256, options["clips"], "uint8")
    clips = torch.from_numpy(clips).to(device)
    # Convolutions of PyTorch are fastest with the channels of a pixel side by side.
    module = build(options["variant"], frames).eval().to(memory_format=torch.channels_last)
    load(module, options["weights"])
    dtype = torch.bfloat16 if options.get("bfloat16") else torch.float32
    module = module.to(dtype)
    fast = torch.compile(module)

    def estimate(network):
        def run():
            with torch.inference_mode():
                planes = clips.permute(0, 1, 4, 2, 3).reshape(batch, -1, height, width)
                planes = planes.float().contiguous(memory_format=torch.channels_last)
                finest = network(planes)[-1]
            shape = (batch, frames - 1, 2, *finest.shape[2:])
            return finest.reshape(shape).permute(0, 1, 3, 4, 2)

        return run

    matrix = torch.randn(options["matrix"], options["matrix"], dtype=dtype)
    runs = {"matrix product, PyTorch": lambda: matrix @ matrix}
    runs["PyTorch"] = estimate(module)
    missing = {}
    if not options.get("compile", True):
        return serve(runs, missing, **serving)
    try:
        estimate(fast)()
    except Exception as error:  # A missing C++ compiler, most often.
        missing["torch.compile"] = " ".join(str(error).split())[:200]
    else:
        runs["torch.compile"] = estimate(fast)
    return serve(runs, missing, **serving)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
