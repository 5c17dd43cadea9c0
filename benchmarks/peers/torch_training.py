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


def stage_loss(options):
    """(modules that learn, function of (clips, labels) that gives the stage's loss)"""
    import torch
    from torch.nn.functional import cross_entropy, interpolate
    from torch_device import precision
    from torch_flow_loss import unsupervised_flow_loss
    from torch_motion_net import build

    name, (batch, frames, height, width, _) = options["stage"], options["clips"]
    size = (height, width)
    # Channels of a pixel side by side: PyTorch's convolutions are fastest so.
    layout = {"memory_format": torch.channels_last}

    def planes_of(clips):
        planes = clips.permute(0, 1, 4, 2, 3).reshape(batch, -1, height, width)
        return planes.float().contiguous(**layout)

    def run(network, images):
        # The networks alone, as ours: losses stay in float32.
        with precision(options):
            return network(images)

    if name == "spatial":
        network = vgg16(3, options["classes"], size).to(**layout)
        load([network], options["weights"])
        mean = torch.tensor(CAFFE_RGB_MEAN).reshape(1, 3, 1, 1)

        def of_middle(clips, labels):
            middle = clips[:, frames // 2].permute(0, 3, 1, 2).float()
            images = (middle - mean).flip(1).contiguous(**layout)
            return cross_entropy(run(network, images).float(), labels)

        return [network], of_middle

    motion = build(options["variant"], frames).to(**layout)
    if name == "motion":
        load([motion], options["weights"])

        def of_flow(clips, labels):
            planes = planes_of(clips)
            return unsupervised_flow_loss(planes, run(motion, planes)[::-1])

        return [motion], of_flow

    temporal = vgg16(2 * (frames - 1), options["classes"], size).to(**layout)
    load([motion, temporal], options["weights"])

    def action_loss(flow, labels):
        unit = ((2.0 * flow).clamp(-BOUND, BOUND) + BOUND) / (2.0 * BOUND)
        images = interpolate(unit * 255.0, size=size, mode="bilinear") - 128.0
        return cross_entropy(run(temporal, images).float(), labels)

    def frozen(clips, labels):
        with torch.no_grad():
            flow = run(motion, planes_of(clips))[-1]
        return action_loss(flow, labels)

    def whole(clips, labels):
        planes = planes_of(clips)
        flows = run(motion, planes)[::-1]
        return action_loss(flows[0], labels) + unsupervised_flow_loss(planes, flows)

    if name == "temporal":
        return [temporal], frozen
    return [motion, temporal], whole


def main(options):
    try:
        import torch
    except ImportError as error:
        return serve({}, {"PyTorch": str(error)})

    from torch_device import prepare

    device, serving = prepare(options)
    clips, labels = training_inputs(options["clips"], options["classes"])
    clips, labels = torch.from_numpy(clips), torch.from_numpy(labels).long()
    modules, loss_of = stage_loss(options)
    weights = [weight for module in modules for weight in module.parameters()]
    if options["stage"] == "motion":
        optimizer = torch.optim.Adam(weights, options["rate"], eps=1e-7)
    else:
        optimizer = torch.optim.SGD(weights, options["rate"], momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(clips.to(device), labels.to(device))
        loss.backward()
        optimizer.step()
        return loss.detach()

    def steps():
        for _ in range(options["steps"]):
            step()

    return serve({"step": step, "steps": steps}, **serving)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
