"""A process ends although clips are being read ahead, however it comes to its end."""

import subprocess
import sys

import pytest

# Every way of reading clips is under way when the script ends.
SCRIPT = """
import sys, threading, time
from h2s_keras.data import SyntheticClips, class_folder_source, iterate_frames
from h2s_keras.data import video_clip_dataset
from h2s_keras.data.video_data import VideoData

examples, names = class_folder_source("set")
size = {"num_frames": 4, "image_size": (16, 16), "cache_bytes": 0}

def clips(**options):
    return video_clip_dataset(examples, batch_size=16, **size, **options)

batches = iter(clips())
shuffled = clips().unbatch().shuffle(8).map(lambda *a: a, 4).batch(2).prefetch(4)
shuffled = iter(shuffled)
arrays = clips(training=False, clips_per_video=9).repeat().as_numpy_iterator()
data = VideoData({"root": "set", **size})
data.test = data.train
generator = data.evaluation(1)
frames = iterate_frames(examples[0].path)
made = iter(SyntheticClips(3, (16, 16)).dataset(4))
for iterator in (batches, shuffled, arrays, generator, frames, made):
    next(iterator)

def watch():
    for batch in clips():
        time.sleep(0.01)

def loop(how):
    for batch in clips():
        if how == "raise":
            raise RuntimeError("in the middle of a loop")
        if how == "interrupt":
            raise KeyboardInterrupt
        if how == "thread":
            threading.Thread(target=watch, daemon=True).start()
            time.sleep(0.5)
        sys.exit(3)

print("reading", flush=True)
loop(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("how", "code"), [("exit", 3), ("raise", 1), ("interrupt", -2), ("thread", 3)]
)
def test_a_process_leaves_while_clips_are_read(make_video, tmp_path, how, code):
    for name in ("a/one.avi", "a/two.avi", "b/one.avi", "b/two.avi"):
        make_video(f"set/{name}", 12, "mpeg4")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "reading\n", done.stderr
    assert done.returncode == code, done.stderr


def test_what_threads_read_is_refused_once_the_process_ends(monkeypatch):
    from h2s_keras.data.clips import process_end

    read = process_end.called_by_threads(lambda number: number + 1)
    assert read(2) == 3
    process_end.check_running()
    monkeypatch.setattr(process_end, "ENDING", ended := type(process_end.ENDING)())
    ended.set()
    with pytest.raises(process_end.EndingError, match="the process ends"):
        read(2)
    with pytest.raises(process_end.EndingError):
        process_end.check_running()
