"""Backward warps of PyTorch: grid_sample with its grid, its kernel alone, and Kornia."""

import json
import sys

from serve import serve


def main(options):
    try:
        import torch
    except ImportError as error:
        return serve({}, {"grid_sample": str(error), "kornia": str(error)})
    from inputs import WARP_KINDS, warp_inputs
    from torch.nn.functional import grid_sample
    from torch_device import prepare

    device, serving = prepare(options)
    # In PyTorch's own layout, channels before pixels.
    arrays = warp_inputs(options["shape"])
    image, flow, upstream = (
        torch.from_numpy(a).to(device).movedim(-1, 1).contiguous() for a in arrays
    )
    height, width = image.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32),
        torch.arange(width, dtype=torch.float32),
        indexing="ij",
    )

    def grid_of(flow):
        unit_x = (x + flow[:, 0]) * (2.0 / (width - 1)) - 1.0
        unit_y = (y + flow[:, 1]) * (2.0 / (height - 1)) - 1.0
        return torch.stack((unit_x, unit_y), dim=-1)

    def sampled(image, grid):
        return grid_sample(image, grid, padding_mode="zeros", align_corners=True)

    methods = {
        "grid_sample": (lambda image, flow: sampled(image, grid_of(flow)), flow),
        "grid_sample, kernel alone": (sampled, grid_of(flow)),
    }
    missing = {}
    try:
        from kornia.geometry.transform import remap
    except ImportError as error:
        missing["kornia"] = str(error)
    else:

        def kornia(image, flow):
            map_x, map_y = x + flow[:, 0], y + flow[:, 1]
            return remap(image, map_x, map_y, padding_mode="zeros", align_corners=True)

        methods["kornia"] = (kornia, flow)

    def make(method, second, of):
        def run():
            first = image.detach().requires_grad_(0 in of)
            other = second.detach().requires_grad_(1 in of)
            if not of:
                with torch.no_grad():
                    return method(first, other).movedim(1, -1)
            result = method(first, other)
            wanted = [tensor for tensor in (first, other) if tensor.requires_grad]
            torch.autograd.grad(result, wanted, upstream)
            return result.detach().movedim(1, -1)

        return run

    runs = {
        f"{name}: {kind}": make(method, second, of)
        for name, (method, second) in methods.items()
        for kind, of in WARP_KINDS.items()
    }
    return serve(runs, missing, **serving)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
