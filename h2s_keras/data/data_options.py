"""What the "data" of a recipe may say, kind by kind.

A recipe lists values for several kinds, so that `--set data.kind=...` can choose another:
those of other kinds may stand there as long as they ask for nothing.
"""

from h2s_keras.data.clips.sampling import CLIPS_PER_VIDEO
from h2s_keras.errors import UserError, refuse_unknown

OFFICIAL = ("ucf101", "hmdb51", "thumos14", "activitynet")

# How clips are drawn; the value of each is what asks for nothing.
_DRAWN = {
    "stride": 1,
    "short": "loop",
    "max_skip": 1,
    "segments": None,
    "flip": True,
    "clips_per_video": CLIPS_PER_VIDEO,
    "test_group": None,
}
_AUGMENTED = {
    "no_flip_classes": (),
    "flip_map": None,
    "color_jitter": None,
    "rand_augment": None,
}
# How video files are read.
_READING = ("decode_size", "on_bad_file", "cache_bytes", "timeout")
_NEEDED = ("num_frames", "image_size")
_MADE = ("seed", "test_count")
_ALL = ("kind", *_NEEDED)
_SPLIT = ("validation", "balanced", "clip_seconds")
_VIDEOS = (
    *_ALL,
    *_DRAWN,
    *_AUGMENTED,
    "rate",
    *_READING,
    *_SPLIT,
    "num_parallel_calls",
)

KNOWN = {
    "synthetic": (
        *_ALL,
        "seed",
        "test_count",
        "segments",
        "max_displacement",
        "foreground_probability",
        "motions",
        "targets",
    ),
    "moving_layers": (
        *_ALL,
        "seed",
        "test_count",
        "segments",
        "max_displacement",
        "degrade",
        "pool",
        "filmed",
        "targets",
    ),
    "videos": (*_VIDEOS, "root", "csv", "group_pattern", "group_column"),
    "unlabelled": (
        *_ALL,
        *_READING,
        "root",
        "stride",
        "rate",
        "short",
        "max_skip",
        "flip",
        "color_jitter",
        "validation",
        "num_parallel_calls",
    ),
    "list": (*_VIDEOS, "root", "train_list", "test_list", "classes"),
    **{kind: (*_VIDEOS, "annotations", "root", "split") for kind in OFFICIAL},
    "records": (
        *_ALL,
        *_DRAWN,
        *_AUGMENTED,
        "root",
        "split",
        "test_root",
        "group_pattern",
        "contents",
        "num_parallel_calls",
        "service",
    ),
}
# What recipes for other kinds leave behind and nobody could take for more than it is.
_LEFT_OVER = {
    "records": (*_READING, *_SPLIT, "seed", "test_count"),
    "synthetic": (*_READING, *_SPLIT),
}
# Of all kinds, in a fixed order.
EVERY = tuple(dict.fromkeys(name for names in KNOWN.values() for name in names))
_ASKS_FOR_NOTHING = {**_DRAWN, **_AUGMENTED, "rate": None, "split": 1}


def check_data_options(settings):
    """Raises a UserError for a value that the kind of data does not know.

    Args:
        settings: dict of a recipe's "data", with "kind".

    Example:

    ```python
    check_data_options({"kind": "videos", "rot": "my_videos"})     # did you mean 'root'?
    ```
    """
    kind = settings.get("kind")
    if kind not in KNOWN:
        known = ", ".join(KNOWN)
        raise UserError(f"data.kind must be one of {known}; received {kind!r}")
    refuse_unknown("data", settings, EVERY)
    if settings.get("service") and kind != "records":
        raise UserError(
            f"data of the kind {kind} cannot be prepared by a tf.data service, whose "
            "workers run no Python; pack it first (h2s data pack) and train with "
            "data.kind=records"
        )
    for name, value in settings.items():
        if name in KNOWN[kind] or name in _LEFT_OVER.get(kind, ()):
            continue
        nothing = _ASKS_FOR_NOTHING.get(name)
        if value is None or value == nothing or (not nothing and value in ((), [], {})):
            continue
        kinds = ", ".join(other for other, names in KNOWN.items() if name in names)
        raise UserError(
            f"data.{name}={value!r} says nothing to the kind {kind!r}, only to {kinds}; "
            "leave it out or choose another data.kind"
        )


def options_of(settings):
    """The checked settings without "kind" and without those of other kinds, as a dict.

    Raises:
        UserError: as `check_data_options`, or a value that the kind needs is missing.
    """
    check_data_options(settings)
    kind = settings["kind"]
    for name in (*_NEEDED, *(_MADE if kind in ("synthetic", "moving_layers") else ())):
        if settings.get(name) is None:
            raise UserError(f"data.{name} is missing; data of the kind {kind!r} need it")
    known = set(KNOWN[kind]) - {"kind"}
    return {name: value for name, value in settings.items() if name in known}
