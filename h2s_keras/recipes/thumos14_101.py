"""Hidden two-stream network with I3D on THUMOS14: whole videos of 101 classes.

Reproduces: arXiv 1704.00389, the row "I3D": 80.6 on THUMOS14, mAP of classification over
    the challenge's 101 classes, which are those of UCF101.
Command: h2s train thumos14_101 --set data.train_list=train.txt --set
    data.test_list=test.txt --set data.classes=classInd.txt --set data.root=thumos14
    --out runs/thumos14-101
    then: h2s evaluate --model runs/thumos14-101 --data list --annotations train.txt
    --test_list test.txt --classes classInd.txt --root thumos14 --protocol paper
    --sampling segments
    (lists with a line "path label" per video: the 13,320 of UCF101 and the 1,010 of the
    validation part to train on, the 1,574 with one class of the test part to test on)
Hardware: one GPU of 80 GiB; the time was not measured.
Expected: not yet reproduced with this library. The paper does not state its rates for
    THUMOS14: those of ucf101_i3d stand here, and its weights to start from. A list names
    one class per video; test videos of several classes count by the one that is named. For
    the 20 detection classes, see the recipe thumos14.
"""

from h2s_keras.recipes import ucf101_i3d


def get_config(smoke=False):
    config = ucf101_i3d.get_config(smoke)
    config.name = "thumos14_101"
    if not smoke:
        config.data.kind = "list"
    return config
