"""Hidden two-stream network with I3D on ActivityNet v1.2: untrimmed videos, 100 classes.

Reproduces: arXiv 1704.00389, the row "I3D": 91.2 on ActivityNet v1.2, mAP of classifying
    whole untrimmed videos over 100 classes.
Command: h2s train activitynet --set data.annotations=activity_net.v1-2.min.json
    --set data.root=activitynet/videos --out runs/activitynet
    then: h2s evaluate --model runs/activitynet --data activitynet
    --annotations activity_net.v1-2.min.json --root activitynet/videos --protocol paper
    --sampling segments
    (VGG16 instead of I3D: --set model.temporal=vgg16 --set model.spatial=vgg16)
Hardware: one GPU of 80 GiB; the time was not measured.
Expected: not yet reproduced with this library. The figure to compare is h2s evaluate's mAP
    of the whole videos of the subset "validation". The run trains on annotated segments of
    "training" and ends with figures of single segments, which are of another task. The
    paper does not state its rates for ActivityNet: those of ucf101_i3d stand here.
"""

from h2s_keras.recipes import ucf101_i3d


def get_config(smoke=False):
    config = ucf101_i3d.get_config(smoke)
    config.name = "activitynet"
    if not smoke:
        config.data.kind = "activitynet"
    return config
