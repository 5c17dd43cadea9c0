"""Videos, images and flow files in, clips as `tf.data` out.

Importing this package imports neither TensorFlow nor PyAV; the functions do when called.
"""

from h2s_keras.data.clips.augmentation import ClipAugmentation, flip_flow
from h2s_keras.data.clips.clip_report import ClipReport
from h2s_keras.data.clips.crops import centre_crop_box, random_crop_box, resize_frames
from h2s_keras.data.clips.sampling import (
    clip_indices,
    clip_span,
    even_clip_starts,
    random_clip_indices,
    segment_clip_indices,
)
from h2s_keras.data.clips.video_clips import video_clip_dataset
from h2s_keras.data.datasets.csv_source import csv_source
from h2s_keras.data.datasets.dataset_list import DatasetList
from h2s_keras.data.datasets.list_source import list_source
from h2s_keras.data.datasets.official_lists import (
    activitynet_list,
    hmdb51_list,
    thumos14_list,
    ucf101_list,
)
from h2s_keras.data.datasets.sources import (
    VIDEO_SUFFIXES,
    VideoExample,
    class_folder_source,
    leave_one_group_out,
)
from h2s_keras.data.flow_files import read_flow, write_flow
from h2s_keras.data.synthetic.action_clips import SyntheticClips
from h2s_keras.data.synthetic.moving_layers import MovingLayerClips
from h2s_keras.data.video.frame_folder import FrameFolder, find_frames
from h2s_keras.data.video.images import encode_png, read_image, write_png
from h2s_keras.data.video.reading import count_frames, iterate_frames, read_frames
from h2s_keras.data.video.video_info import VideoInfo, probe_video

__all__ = [
    "VIDEO_SUFFIXES",
    "ClipAugmentation",
    "ClipReport",
    "DatasetList",
    "FrameFolder",
    "MovingLayerClips",
    "SyntheticClips",
    "VideoExample",
    "VideoInfo",
    "activitynet_list",
    "centre_crop_box",
    "class_folder_source",
    "clip_indices",
    "clip_span",
    "count_frames",
    "csv_source",
    "encode_png",
    "even_clip_starts",
    "find_frames",
    "flip_flow",
    "hmdb51_list",
    "iterate_frames",
    "leave_one_group_out",
    "list_source",
    "probe_video",
    "random_clip_indices",
    "random_crop_box",
    "read_flow",
    "read_frames",
    "read_image",
    "resize_frames",
    "segment_clip_indices",
    "thumos14_list",
    "ucf101_list",
    "video_clip_dataset",
    "write_flow",
    "write_png",
]
