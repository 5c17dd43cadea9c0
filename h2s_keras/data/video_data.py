"""Videos as a training run reads them (see `training_data`)."""

import copy
import dataclasses
import math

from h2s_keras.data.clips.augmentation import class_augmentation
from h2s_keras.data.clips.cached_flow import CachedFlowData, pair_count
from h2s_keras.data.clips.clip_report import ClipReport
from h2s_keras.data.clips.clip_timing import clip_timing
from h2s_keras.data.clips.sampling import CLIPS_PER_VIDEO, ClipSampling, given
from h2s_keras.data.clips.video_clips import VideoClips, frame_size
from h2s_keras.data.datasets.csv_source import csv_source
from h2s_keras.data.datasets.dataset_list import DatasetList
from h2s_keras.data.datasets.list_source import check_lists
from h2s_keras.data.datasets.official_lists import (
    activitynet_list,
    hmdb51_list,
    thumos14_list,
    ucf101_list,
)
from h2s_keras.data.datasets.sources import (
    class_folder_source,
    leave_one_group_out,
    unlabelled_source,
)
from h2s_keras.data.datasets.validation_split import split_in_time, split_validation
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.errors import UserError, VideoError
from h2s_keras.options import OFFICIAL


def official_list(kind, annotations, root=None, split=1):
    """The `DatasetList` of one of OFFICIAL."""
    if not annotations:
        raise UserError(
            f"{kind} needs its official lists: give the folder (or file) as annotations"
        )
    if kind == "ucf101":
        return ucf101_list(annotations, root, split)
    if kind == "hmdb51":
        return hmdb51_list(annotations, root, split)
    if kind == "thumos14":
        return thumos14_list(annotations, root)
    return activitynet_list(annotations, root)


class VideoData:
    """Videos from class folders, a CSV file, an official dataset, or without labels.

    Without labels all videos below a folder are one class; of one video alone the end is
    set aside for validation.

    Args:
        settings: dict with "root" (folder of class folders, or of the dataset's videos)
            or "csv", "num_frames", "image_size" and optionally "group_pattern" or
            "group_column", "test_group" (left out of training and tested on),
            "clips_per_video" (of the test, 5); "stride", "short", "flip", "segments",
            "max_skip", "color_jitter", "rand_augment", "on_bad_file", "cache_bytes",
            "decode_size", "timeout", "rate", "num_parallel_calls" as
            `video_clip_dataset`; "no_flip_classes" and "flip_map" likewise, with names or
            numbers of classes; "validation" (the share of the training videos that a run
            chooses by) and "balanced"; "clip_seconds", which chooses rate and stride; for a
            dataset
            "annotations" and "split"; for lists "train_list", "test_list" and "classes"
            as `list_source`.
        kind: "videos", "list", "unlabelled", or one of OFFICIAL.
    """

    def __init__(self, settings, kind="videos"):
        root, table = settings.get("root"), settings.get("csv")
        self.settings, self.timing = settings, None
        on_bad_file = settings.get("on_bad_file", "raise")
        if kind in OFFICIAL:
            annotations, split = settings.get("annotations"), settings.get("split", 1)
            listed = official_list(kind, annotations, root, split)
        elif kind == "list":
            listed = check_lists(settings)
        elif kind == "unlabelled":
            if not root:
                raise UserError(
                    "no data given: --set data.root=FOLDER names a folder of videos, at "
                    "any depth"
                )
            listed = DatasetList(str(root), ("video",), unlabelled_source(root), ())
        elif table:
            column = settings.get("group_column")
            examples, names = csv_source(table, root, column, require=False)
            listed = DatasetList(str(table), names, examples, ())
        elif root:
            examples, names = class_folder_source(root, settings.get("group_pattern"))
            listed = DatasetList(str(root), names, examples, ())
        else:
            raise UserError(
                "no data given: --set data.root=FOLDER names a folder of class folders, "
                "--set data.csv=FILE a table with the columns path and class"
            )
        listed.require_videos(allow_missing=on_bad_file != "raise")
        self.class_names = listed.class_names
        self.train, self.test = listed.train, listed.test
        if settings.get("test_group") is not None:
            self.train, self.test = leave_one_group_out(self.train, settings["test_group"])
        share = settings.get("validation") or 0.0
        if kind == "unlabelled" and len(self.train) == 1:
            self.train, self.validation = split_in_time(
                self.train[0], share, settings.get("rate")
            )
        else:
            self.train, self.validation = split_validation(self.train, share, 0)
        if settings.get("clip_seconds"):
            seconds = settings["clip_seconds"]
            self.timing = clip_timing(self.train, settings["num_frames"], seconds)
            settings = {**settings, **self.chosen_settings}
            self.settings = settings
        self.report = ClipReport()
        image_size = tuple(settings["image_size"])
        # One source for all stages and the test: what was decoded once stays.
        self.source = FrameSource(
            frame_size(image_size, settings.get("decode_size")),
            **given(settings, ("cache_bytes", "timeout", "rate")),
        )
        sampling = ("num_frames", "stride", "short", "segments", "max_skip")
        self.sampling = ClipSampling(**given(settings, sampling))
        self.augment = class_augmentation(settings, self.class_names)
        self.on_bad_file = on_bad_file
        self.balanced = settings.get("balanced", False)
        self.clips_per_video = settings.get("clips_per_video", CLIPS_PER_VIDEO)

    @property
    def chosen_settings(self):
        """The settings that `clip_seconds` stands for: rate and stride, by the videos."""
        if self.timing is None:
            return {}
        return {"rate": self.timing.rate, "stride": self.timing.stride}

    @property
    def validates(self):
        """Whether videos are set aside for validation."""
        return bool(self.validation)

    @property
    def groups(self):
        """The groups of the videos that are trained on; {None} where they have none."""
        return {example.group for example in self.train}

    def read_all(self, track=iter):
        """Reads every video once, so that bad ones are known before anything is trained.

        Args:
            track: gives the examples one after the other and may show progress.

        Raises:
            UserError: there are bad videos and they are not passed over; names them all.
        """
        examples = (*self.train, *self.validation, *self.test)
        for example in track(examples):
            try:
                length = len(self.source.frames_of(example))
                pair_count(example.path, length, self.sampling.stride)
            except VideoError as error:
                self.report.add(error)
        bad = self.report.bad_files
        if bad and self.on_bad_file == "raise":
            named = [f"{path}: {reason}" for path, reason in bad.items()][:10]
            if len(bad) > len(named):
                named.append(f"and {len(bad) - len(named)} more")
            raise UserError(
                f"{len(bad)} of {len(examples)} videos cannot be used; mend or remove "
                "them, or leave out all that are bad with --set data.on_bad_file=skip. "
                + "; ".join(named)
            )

    def training(self, batch_size, start_step=0, seed=0, process=0, processes=1):
        clips = self._clips(self.train)
        return clips.training(batch_size, start_step, seed, process, processes)

    def explain(self, error):
        """The UserError behind `error`: tf.data wraps it in a traceback of its own."""
        return self.report.explain(error)

    def training_names(self, batch_size, step, seed=0):
        return self._clips(self.train).names(batch_size, step, seed)

    def evaluation(self, batch_size):
        return self._clips_of(self.test, batch_size, self.clips_per_video)

    def validation_batches(self, batch_size, most_clips=None):
        """As `evaluation`, of the validation videos.

        Of many videos fewer clips each are taken, so that about `most_clips` are in all.
        """
        each = self.clips_per_video
        if most_clips is not None and self.validation:
            each = min(each, max(1, most_clips // len(self.validation)))
        return self._clips_of(self.validation, batch_size, each)

    @property
    def image_size(self):
        """(height, width) of the clips."""
        return self.augment.image_size

    def of_all_videos(self):
        """The same with the validation videos among those that are trained on."""
        everything = copy.copy(self)
        everything.train = (*self.train, *self.validation)
        everything.validation = ()
        return everything

    def of_pairs(self):
        """The same videos as clips of two frames and without segments."""
        pairs = copy.copy(self)
        pairs.sampling = dataclasses.replace(self.sampling, num_frames=2, segments=None)
        return pairs

    def held_out_pairs(self, count):
        """As `validation_batches`, evenly spaced pairs of frames, about `count` in all."""
        pairs = self.of_pairs()
        pairs.clips_per_video = math.ceil(count / max(1, len(self.validation)))
        return pairs.validation_batches(32)

    def flow_data(self, folder, key, estimate, progress=None):
        """`CachedFlowData` of these videos; arguments as there."""
        return CachedFlowData(self, folder, key, estimate, progress)

    def _clips(self, examples, on_bad_file=None):
        return VideoClips(
            examples,
            self.sampling,
            self.augment,
            self.source,
            self.report,
            on_bad_file or self.on_bad_file,
            self.balanced,
            self.settings.get("num_parallel_calls"),
        )

    def _clips_of(self, examples, batch_size, clips_per_video):
        if not examples:
            return
        # No other video takes the place of a bad one in a test.
        policy = "raise" if self.on_bad_file == "raise" else "skip"
        clips = self._clips(examples, policy)
        batches = clips.testing(batch_size, clips_per_video).as_numpy_iterator()
        while True:
            with self.report.user_errors():
                batch = next(batches, None)
            if batch is None:
                return
            yield dict(zip(("clip", "label", "video"), batch, strict=True))
