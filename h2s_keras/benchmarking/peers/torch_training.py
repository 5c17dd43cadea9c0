"""The same networks, losses and updates in plain PyTorch, one stage a process."""

import json
import sys

from inputs import training_inputs
from serve import serve

CAFFE_RGB_MEAN = (123.68, 116.779, 103.939)
WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
BOUND = 20.0


def vgg16(channels, classes, size):
    """VGG16 with its parts by Keras' names; height and width stay a pair of `size`."""
    from torch import nn
    from torch.nn.functional import max_pool2d, relu

    class PlainVgg16(nn.Module):
        def __init__(self):
            super().__init__()
            parts, width = {}, channels
            for block, widths in enumerate(WIDTHS, start=1):
                for number, filters in enumerate(widths, start=1):
                    name = f"block{block}_conv{number}"
                    parts[name] = nn.Conv2d(width, filters, 3, padding=1)
                    width = filters
            cells = (size[0] // 32) * (size[1] // 32)
            parts["fc6"] = nn.Linear(512 * cells, 4096)
            parts["fc7"], parts["fc8"] = nn.Linear(4096, 4096), nn.Linear(4096, classes)
            self.parts = nn.ModuleDict(parts)

        def forward(self, images):
            hidden = images
            for block, widths in enumerate(WIDTHS, start=1):
                for number in range(1, len(widths) + 1):
                    hidden = relu(self.parts[f"block{block}_conv{number}"](hidden))
                hidden = max_pool2d(hidden, 2)
            # Keras flattens with the channels last.
            hidden = hidden.permute(0, 2, 3, 1).flatten(1)
            hidden = relu(self.parts["fc7"](relu(self.parts["fc6"](hidden))))
            return self.parts["fc8"](hidden)

    return PlainVgg16()


def load(modules, file):
    """Copies the weights that Keras saved by their paths."""
    import numpy as np
    import torch

    saved = np.load(file)
    arrays = {"/".join(path.split("/")[-2:]): saved[path] for path in saved}
    with torch.no_grad():
        for module in modules:
            for name, part in module.parts.items():
                kernel = torch.from_numpy(arrays[f"{name}/kernel"])
                order = (1, 0) if kernel.ndim == 2 else (3, 2, 0, 1)
                part.weight.copy_(kernel.permute(order))
                part.bias.copy_(torch.from_numpy(arrays[f"{name}/bias"]))


def stage_loss(options, clips, labels):
    """(modules that learn, function of nothing that gives the loss of the stage)"""
    import torch
    from torch.nn.functional import cross_entropy, interpolate
    from torch_flow_loss import unsupervised_flow_loss
    from torch_motion_net import build

    name, (batch, frames, height, width, _) = options["stage"], options["clips"]
    size = (height, width)
    # Channels of a pixel side by side: PyTorch's convolutions are fastest so.
    layout = {"memory_format": torch.channels_last}
    planes = clips.permute(0, 1, 4, 2, 3).reshape(batch, -1, height, width)
    planes = planes.float().contiguous(**layout)
    if name == "spatial":
        network = vgg16(3, options["classes"], size).to(**layout)
        load([network], options["weights"])
        middle = planes[:, 3 * (frames // 2) : 3 * (frames // 2) + 3]
        mean = torch.tensor(CAFFE_RGB_MEAN).reshape(1, 3, 1, 1)
        images = (middle - mean).flip(1).contiguous(**layout)
        return [network], lambda: cross_entropy(network(images), labels)

    motion = build(options["variant"], frames).to(**layout)
    if name == "motion":
        load([motion], options["weights"])
        return [motion], lambda: unsupervised_flow_loss(planes, motion(planes)[::-1])

    temporal = vgg16(2 * (frames - 1), options["classes"], size).to(**layout)
    load([motion, temporal], options["weights"])

    def action_loss(flow):
        unit = ((2.0 * flow).clamp(-BOUND, BOUND) + BOUND) / (2.0 * BOUND)
        images = interpolate(unit * 255.0, size=size, mode="bilinear") - 128.0
        return cross_entropy(temporal(images), labels)

    def frozen():
        with torch.no_grad():
            flow = motion(planes)[-1]
        return action_loss(flow)

    def whole():
        flows = motion(planes)[::-1]
        return action_loss(flows[0]) + unsupervised_flow_loss(planes, flows)

    if name == "temporal":
        return [temporal], frozen
    return [motion, temporal], whole


def main(options):
    try:
        import torch
    except ImportError as error:
        return serve({}, {"PyTorch": str(error)})

    torch.set_num_threads(options["threads"])
    clips, labels = training_inputs(options["clips"], options["classes"])
    labels = torch.from_numpy(labels).long()
    modules, loss_of = stage_loss(options, torch.from_numpy(clips), labels)
    weights = [weight for module in modules for weight in module.parameters()]
    if options["stage"] == "motion":
        optimizer = torch.optim.Adam(weights, options["rate"], eps=1e-7)
    else:
        optimizer = torch.optim.SGD(weights, options["rate"], momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return serve({"step": step})


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
