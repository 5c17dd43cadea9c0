"""Hidden two-stream network with I3D on THUMOS14: untrimmed videos, 20 classes.

Reproduces: arXiv 1704.00389, the row "I3D": 80.6 on THUMOS14.
Command: h2s train thumos14 --set data.annotations=thumos14 --set data.root=thumos14/videos
    --out runs/thumos14
    then: h2s evaluate --model runs/thumos14 --data thumos14 --annotations thumos14
    --root thumos14/videos --protocol paper --sampling segments
    (VGG16 in place of I3D: --set model.temporal=vgg16 --set model.spatial=vgg16)
Hardware: one modern GPU of 80 GiB for days.
Expected: not yet reproduced with this library. The paper does not state its rates for
    THUMOS14: those of ucf101_i3d stand here. It trains on annotated segments and tests on
    those of the test videos; the published figure is of whole videos, as h2s evaluate's.
"""

from h2s_keras.recipes import ucf101_i3d


def get_config(smoke=False):
    config = ucf101_i3d.get_config(smoke)
    config["name"] = "thumos14"
    if not smoke:
        config["data"]["kind"] = "thumos14"
    return config
