"""Packs one shard: decodes its videos, encodes frames and flow, writes records.

The shard gets its name only when it is whole and on the disk, and the JSON file beside it
comes after that: a killed run leaves nothing that is taken for a shard.
"""

import contextlib
import itertools
import os
import tempfile

from h2s_keras.data.datasets.sources import VideoExample
from h2s_keras.data.records.classical_flow import classical_flow
from h2s_keras.data.records.file_systems import (
    file_errors,
    file_size,
    join,
    publish,
    temporary_file,
)
from h2s_keras.data.records.record_format import encode_flow, encode_record, record_bytes
from h2s_keras.data.records.record_index import finished_shard, shard_names, write_json
from h2s_keras.data.synthetic.action_clips import SyntheticClips
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.data.video.frame_times import NotedTimes
from h2s_keras.data.video.reading import iterate_frames
from h2s_keras.errors import FileError, VideoError
from h2s_keras.files import sha256_of

# Encoded frames of one video held in memory; more of them go to a temporary file.
_MEMORY = 1 << 27


class FrameSpool:
    """Encoded frames and flow of one video, kept until the video is known to be good.

    Raises:
        UserError: from any method, where the temporary folder is full.

    Example:

    ```python
    with FrameSpool() as spool:
        spool.add(0, jpeg, None)
        spool.frames([0])       # [jpeg]
    ```
    """

    def __init__(self):
        self._file = tempfile.SpooledTemporaryFile(_MEMORY)
        self._places = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # What the disk did not take is thrown away with the rest.
        with contextlib.suppress(OSError):
            self._file.close()

    def __len__(self):
        return len(self._places)

    def add(self, number, frame, flow):
        """Keeps frame `number`, and its flow to the next frame or None."""
        start = self._file.tell()
        with _disk_errors():
            self._file.write(frame)
            if flow is not None:
                self._file.write(flow)
        flow_bytes = None if flow is None else len(flow)
        self._places[number] = (start, len(frame), flow_bytes)

    def frames(self, numbers):
        """JPEG bytes of the frames."""
        return [self._read(self._places[number][:2]) for number in numbers]

    def flows(self, numbers):
        """Encoded flow of each frame to the next."""
        spans = [self._places[number] for number in numbers]
        return [self._read((start + size, flow)) for start, size, flow in spans]

    def _read(self, span):
        start, size = span
        with _disk_errors():
            self._file.seek(start)
            return self._file.read(size)


@contextlib.contextmanager
def _disk_errors():
    try:
        yield
    except OSError as error:
        raise FileError(
            tempfile.gettempdir(),
            f"cannot hold the frames of one video ({error.strerror}); free some space "
            "there, or set TMPDIR to another folder",
        ) from None


WHOLE = range(1 << 40)


class PackingStopped(Exception):
    """Another shard failed, or the user stopped the packing."""


def pack_shard(plan, number, out, stopped=None, done=None, flow_estimator=classical_flow):
    """Writes a shard of a plan, unless it is there already.

    Args:
        plan: `PackPlan`.
        number: number of the shard.
        out: folder of the records.
        stopped: function that says whether to give up; asked before each frame.
        done: function called with the number of examples after each video.
        flow_estimator: as for `pack_records`.

    Returns:
        dict of the shard, as in `RecordIndex.shards`.

    Raises:
        VideoError: a bad video, under the policy "raise".
        PackingStopped: `stopped` said so.
    """
    name = shard_names(plan.shards)[number]
    path = join(out, name)
    shard = finished_shard(out, name)
    videos = plan.of_shard(number)
    done = done or (lambda examples: None)
    if shard is not None:
        done(sum(len(examples) for examples in videos))
        return shard
    local = temporary_file(path)
    try:
        stopped = stopped or (lambda: False)
        packer = _ShardPacker(plan, local, path, stopped, flow_estimator)
        with packer:
            for examples in videos:
                packer.pack(examples)
                done(len(examples))
        shard = {
            "name": name,
            "records": packer.records,
            "bytes": file_size(local),
            "sha256": sha256_of(local),
            "examples": packer.examples,
            "bad_files": packer.bad_files,
        }
        publish(local, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(local)
    write_json(path + ".json", shard)
    return shard


class _ShardPacker:
    def __init__(self, plan, local, path, stopped, flow_estimator):
        import tensorflow as tf

        self.tf, self.class_names, self.path = tf, plan.class_names, path
        self.settings, self.stopped = plan.settings, stopped
        with file_errors(path):
            self.writer = tf.io.TFRecordWriter(local)
        self.offset, self.records = 0, 0
        self.examples, self.bad_files = [], []
        method = self.settings["flow"]
        self.estimate = None if method in (None, "true") else flow_estimator(method)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # What is still in the buffer goes to the disk here.
        with file_errors(self.path):
            self.writer.close()

    def pack(self, examples):
        """Writes all examples of one video, or notes that it is bad."""
        encode = self._encode_video if "path" in examples[0] else self._encode_clip
        try:
            with FrameSpool() as spool:
                # Nothing is written before the video has proved good to its end.
                described = encode(examples, spool)
                for example, span in described:
                    self._write(example, span, spool)
        except VideoError as error:
            if self.settings["on_bad_file"] == "raise":
                raise
            self.bad_files.append({"path": error.path, "reason": error.reason})

    def _encode_video(self, examples, spool):
        path = examples[0]["path"]
        options = {"timeout": self.settings["timeout"], "rate": self.settings["rate"]}
        stride = self.settings["stride"]
        spans = [WHOLE] * len(examples)
        cut = ("start", "only_frames")
        if any(example[key] is not None for example in examples for key in cut):
            source = FrameSource(None, 0, per_frame=True, **options)
            count = source.frame_count(path)
            spans = [source.frames_of(_part(example)) for example in examples]
            spans = [thinned(span, stride, count) for span in spans]
        rate = options["rate"] and options["rate"] / stride
        times = None if os.path.isdir(path) else NotedTimes(path, rate)
        frames = iterate_frames(
            path, self.settings["size"], stride=stride, times=times, **options
        )
        size, position = None, 0
        for run in merged(spans):
            selected = itertools.islice(frames, run.start - position, run.stop - position)
            size = self._spool(self._with_flow(selected), run.start, spool)
            position = run.stop
        if len(spool) < 2:
            stepped = f" at stride {stride}" if stride > 1 else ""
            raise VideoError(path, f"has 1 frame{stepped} and so no motion; leave it out")
        spans = [range(len(spool)) if span is WHOLE else span for span in spans]
        rate = times.mean_rate() if times else rate
        return [
            (self._described(example, span, size, rate), span)
            for example, span in zip(examples, spans, strict=True)
        ]

    def _encode_clip(self, examples, spool):
        (example,) = examples
        stream = SyntheticClips(split=example["parts"][0], **self.settings["synthetic"])
        rendered = stream.example(example["clip"])
        frames = rendered["clip"].numpy()
        if self.settings["flow"] == "true":
            pairs = itertools.zip_longest(frames, rendered["flow"].numpy())
        else:
            pairs = self._with_flow(iter(frames))
        size = self._spool(pairs, 0, spool)
        example = {**example, "label": int(rendered["label"])}
        span = range(len(frames))
        return [(self._described(example, span, size, None), span)]

    def _with_flow(self, frames):
        """Yields (frame, flow to the next or None)."""
        if self.estimate is None:
            return zip(frames, itertools.repeat(None))
        frames, ahead = itertools.tee(frames)
        return itertools.zip_longest(frames, self.estimate(ahead))

    def _spool(self, pairs, first, spool):
        """Encodes frames and flow; returns (height, width) of the frames."""
        quality, flow_format = self.settings["quality"], self.settings["flow_format"]
        size = None
        for number, (frame, flow) in enumerate(pairs, start=first):
            if self.stopped():
                raise PackingStopped
            size = frame.shape[:2]
            jpeg = self.tf.io.encode_jpeg(frame, format="rgb", quality=quality).numpy()
            encoded = None if flow is None else encode_flow(flow, flow_format)
            spool.add(number, jpeg, encoded)
        return size

    def _described(self, example, span, size, rate):
        keys = ("number", "name", "label", "group", "start", "end", "parts")
        return {
            **{key: example[key] for key in keys},
            "only_frames": example.get("only_frames"),
            "frames": len(span),
            "height": size[0],
            "width": size[1],
            "rate": rate,
        }

    def _write(self, example, span, spool):
        per_record = self.settings["frames_per_record"] or len(span)
        named = {**example, "class_name": self.class_names[example["label"]]}
        offsets = []
        for first in range(0, len(span), per_record):
            numbers = span[first : first + per_record]
            flows = ()
            if self.settings["flow"] is not None:
                # The last frame of the example has no next one.
                flows = spool.flows(number for number in numbers if number != span[-1])
            record = encode_record(named, first, spool.frames(numbers), flows)
            with file_errors(self.path):
                self.writer.write(record)
            offsets.append(self.offset)
            self.offset += record_bytes(record)
            self.records += 1
        self.examples.append({**example, "offsets": offsets})


def merged(spans):
    """Disjoint ranges, rising, that cover all the given ones."""
    runs = []
    for span in sorted(spans, key=lambda span: span.start):
        if runs and span.start <= runs[-1].stop:
            runs[-1] = range(runs[-1].start, max(runs[-1].stop, span.stop))
        else:
            runs.append(span)
    return runs


def thinned(span, stride, frame_count):
    """The packed frames of a span: packed frame k is frame k * stride of the video.

    They are two or more, around a span as short as that, unless the video has fewer.
    """
    first, stop, count = (-(-n // stride) for n in (span.start, span.stop, frame_count))
    if stop - first < 2:
        first = max(0, min(span.start // stride, count - 2))
        stop = min(first + 2, count)
    return range(first, stop)


def _part(example):
    return VideoExample(
        example["path"],
        example["label"],
        start=example["start"],
        end=example["end"],
        frames=example["only_frames"],
    )
