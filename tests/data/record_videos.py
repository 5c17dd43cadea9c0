"""Class folders of small videos to pack, each frame numbered (see conftest)."""

from h2s_keras.data import class_folder_source
from h2s_keras.data.clips.augmentation import ClipAugmentation
from h2s_keras.data.clips.sampling import ClipSampling, given
from h2s_keras.data.datasets.dataset_list import DatasetList
from h2s_keras.data.records.packing import PackSettings, list_plan
from h2s_keras.data.records.record_clips import RecordClips


def folder_list(make_video, tmp_path, per_class=3, count=40):
    for label in ("jump", "run"):
        for number in range(per_class):
            make_video(f"videos/{label}/{number}.avi", count + number, "mpeg4")
    root = str(tmp_path / "videos")
    examples, names = class_folder_source(root)
    return DatasetList("numbers", names, examples, ())


def plan_of(listed, tmp_path, shards=2, **settings):
    settings = {"frames_per_record": 16, **settings}
    root = str(tmp_path / "videos")
    return list_plan({"1": listed}, root, PackSettings(**settings), shards)


def record_clips(index, examples, num_frames, image_size=(224, 224), **options):
    sampling = ClipSampling(num_frames, **given(options, ("stride", "short")))
    augment = ClipAugmentation(image_size, **given(options, ("color_jitter",)))
    options = given(options, ("contents", "num_parallel_calls"))
    return RecordClips(index, examples, sampling, augment, **options)
