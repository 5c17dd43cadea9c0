"""Hidden two-stream network with I3D on UCF101: 3D networks over flow and over RGB.

Reproduces: arXiv 1704.00389, the row "I3D": 97.1 %, mean of three splits.
Command: h2s train ucf101_i3d --set data.annotations=ucfTrainTestlist
    --set data.root=UCF-101 --set data.split=1 --out runs/ucf101-i3d-1
    (with weights to start from: --set model.temporal_weights=FILE --set
    model.spatial_weights=FILE, .keras or .weights.h5 files of "i3d", or of its 2D parent
    "inception_v1", which is inflated)
Hardware: one GPU of 80 GiB; the time was not measured.
Expected: not yet reproduced with this library. The published figure rests on I3D trained
    on Kinetics, which one trains or converts oneself; without it both networks begin at
    random. The paper does not state its rates for I3D, so those of the recipe ucf101 stand
    here, with clips of 17 frames.
"""

import dataclasses

from h2s_keras.recipes import ucf101


def get_config(smoke=False):
    config = ucf101.get_config(smoke)
    config.name = "ucf101_i3d"
    if not smoke:
        config.data.num_frames = 17
    config.model = dataclasses.replace(
        config.model,
        temporal="i3d",
        temporal_weights=None,
        temporal_dropout=0.5,
        spatial="i3d",
        spatial_weights=None,
        spatial_dropout=0.5,
    )
    return config
