"""Hidden two-stream network with I3D on the 20 detection classes of THUMOS14.

Reproduces: no published figure. The paper's 80.6 is of another task, videos of 101 classes:
    see the recipe thumos14_101.
Command: h2s train thumos14 --set data.annotations=thumos14 --set data.root=thumos14/videos
    --out runs/thumos14
    then: h2s evaluate --model runs/thumos14 --data thumos14 --annotations thumos14
    --root thumos14/videos --protocol paper --sampling segments
    (VGG16 instead of I3D: --set model.temporal=vgg16 --set model.spatial=vgg16)
Hardware: one GPU of 80 GiB; the time was not measured.
Expected: not measured. It trains on the annotated segments of the 200 validation videos
    with rates of ucf101_i3d. The run's own figures are of the test videos' segments; h2s
    evaluate's is the mAP of the 212 whole test videos.
"""

from h2s_keras.recipes import ucf101_i3d


def get_config(smoke=False):
    config = ucf101_i3d.get_config(smoke)
    config.name = "thumos14"
    if not smoke:
        config.data.kind = "thumos14"
    return config
