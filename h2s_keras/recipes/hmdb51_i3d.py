"""Hidden two-stream network with I3D on HMDB51: 3D networks over flow and over RGB.

Reproduces: arXiv 1704.00389, the row "I3D": 78.7 %, mean of three splits.
Command: h2s train hmdb51_i3d --set data.annotations=testTrainMulti_7030_splits
    --set data.root=hmdb51 --set data.split=1 --out runs/hmdb51-i3d-1
Hardware: one GPU of 80 GiB; the time was not measured.
Expected: not yet reproduced with this library; see ucf101_i3d for what is not published.
"""

from h2s_keras.recipes import ucf101_i3d
from h2s_keras.recipes.hmdb51 import as_hmdb51


def get_config(smoke=False):
    config = ucf101_i3d.get_config(smoke)
    config.name = "hmdb51_i3d"
    if not smoke:
        as_hmdb51(config)
    return config
