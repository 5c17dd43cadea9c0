"""Files of labels: read to the frame, and written so that nothing is lost unsaid."""

import json
import os

import numpy as np
import pytest
from ethogram.samples import (
    BENTO_FRAMES,
    BORIS_OLD,
    BOUTS,
    OBSERVER,
    boris_events,
    boris_project,
    same,
    truth,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from h2s_keras.cli import ethogram_convert
from h2s_keras.errors import UserError
from h2s_keras.ethogram import FrameLabels, FrameTimes, read_labels, write_labels
from h2s_keras.ethogram.formats import FORMATS, format_for, recognise

SINGLE = [name for name, module in FORMATS.items() if module.single]


@pytest.fixture
def write(tmp_path):
    """Writes text, or anything else as JSON, to a file and gives its path."""

    def put(content, name="labels.txt", encoding="utf-8"):
        text = content if isinstance(content, str) else json.dumps(content)
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        return str(path)

    return put


def refused(words, *arguments, **options):
    with pytest.raises(UserError) as caught:
        read_labels(*arguments, **options)
    text = str(caught.value)
    assert words in text and "\n" not in text, text


def test_the_command_names_every_format():
    assert tuple(ethogram_convert.FORMATS) == tuple(FORMATS) and len(FORMATS) == 12


# === The samples that lie beside the project ===

SAMPLES = {
    "clip.annot": "bento",
    "clip.boris": "boris",
    "clip.eaf": "elan",
    "clip.vtrace.csv": "vtrace",
    "clip_activitynet.json": "activitynet",
    "clip_boris_aggregated.csv": "boris_aggregated",
    "clip_boris_tabular.csv": "boris_tabular",
    "clip_calms21.json": "calms21",
    "clip_caltech.txt": "caltech",
    "clip_feral.json": "feral",
    "clip_labels.csv": "deepethogram",
    "clip_observer.txt": "observer",
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", SAMPLES)
def test_the_twelve_samples_are_one_annotation(real_data, name):
    path = real_data("ethogram", "formats", name)
    assert recognise(path)[0].name == SAMPLES[name]
    labels = read_labels(path, frames=100, rate=25)
    assert labels.behaviors == ("groom", "rear")
    groom, rear = [(10, 35), (60, 61), (80, 100)], [(30, 41)]
    if SAMPLES[name] in ("calms21", "caltech", "feral"):
        groom[0] = (10, 30)  # one behaviour per frame: the later bout wins
    assert [bout[1:] for bout in labels.bouts("groom")] == groom
    assert [bout[1:] for bout in labels.bouts("rear")] == rear


@pytest.mark.real_data
def test_lists_of_real_bouts_survive(real_data, tmp_path):
    path = real_data("ethogram", "calms21_bouts", "train", "mouse001_task1_annotator1.csv")
    labels = read_labels(path, rate=30, frames=21364)
    for name in ("elan", "boris", "boris_aggregated", "deepethogram"):
        write_labels(labels, tmp_path / name, name)
        back = read_labels(tmp_path / name, rate=30, frames=21364)
        assert same(back.arranged(labels.behaviors), labels)


# === Round trips ===


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_round_trip_is_exact_to_the_frame(tmp_path_factory, name, data):
    frames = data.draw(st.integers(2, 60))
    rates = [10, 25, 29.97, 30, 60, 240, 1000]
    # ELAN's times are whole milliseconds.
    rate = data.draw(st.sampled_from(rates[:-1] if name == "elan" else rates))
    cells = st.lists(st.sampled_from([0, 1]), min_size=2 * frames, max_size=2 * frames)
    matrix = np.array(data.draw(cells)).reshape(frames, 2)
    if FORMATS[name].unlabelled:
        matrix[data.draw(st.integers(0, frames - 1))] = -1
    labels = FrameLabels("a.mp4", ("groom", "rear"), matrix, FrameTimes(frames, rate=rate))
    if name in SINGLE:
        labels = labels.later_wins()
    path = tmp_path_factory.mktemp("trip") / "file"
    notes = write_labels(labels, path, name)
    back = read_labels(path, rate=rate, frames=frames)
    lost = [name for name in labels.behaviors if name not in back.behaviors]
    assert not any(labels.bouts(name) for name in lost) and bool(lost) == bool(notes)
    assert same(back.arranged(labels.behaviors), labels)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_read_without_its_name(tmp_path, name):
    write_labels(truth().later_wins(), tmp_path / "anything", name)
    assert recognise(tmp_path / "anything")[0].name == name


@pytest.mark.parametrize("name", ["vtrace", "boris", "elan", "boris_tabular", "observer"])
def test_a_variable_rate_goes_by_time_stamps(tmp_path, name):
    stamps = np.cumsum([0, *np.tile([0.04, 0.1, 0.033], 7)])[:20]
    labels = FrameLabels.from_bouts(
        "clip.mp4", ("groom", "rear"), BOUTS, 20, FrameTimes.of_stamps(stamps)
    )
    assert any("variable" in note for note in write_labels(labels, tmp_path / "f", name))
    back = read_labels(tmp_path / "f", "clip.mp4", times=labels.times)
    assert same(back, labels)
    with pytest.raises(UserError, match="bento files count frames at one rate"):
        write_labels(labels, tmp_path / "g", "bento")


def test_the_ending_of_a_name_says_the_format():
    for name, expected in {
        "a.eaf": "elan",
        "a.BORIS": "boris",
        "a.vtrace.csv": "vtrace",
        "a_vtrace.csv": "vtrace",
        "a_labels.csv": "deepethogram",
        "a.annot": "bento",
    }.items():
        assert format_for(name).name == expected
    for name in ("a.txt", "a.json"):
        with pytest.raises(UserError, match="does not say the format; give one of"):
            format_for(name)


# === What a format cannot hold ===


@pytest.mark.parametrize("name", SINGLE)
def test_overlaps_are_refused_or_reported(tmp_path, name):
    path = tmp_path / "file"
    with pytest.raises(UserError, match=r"1 of 20 frames show .*frame 6: groom, rear"):
        write_labels(truth(), path, name)
    assert not path.exists()
    (note,) = write_labels(truth(), path, name, lossy=True)
    assert "1 of 20 frames" in note
    assert same(read_labels(path, rate=10), truth().later_wins())


@pytest.mark.parametrize("name", [name for name in FORMATS if not FORMATS[name].unlabelled])
def test_frames_that_are_not_labelled_are_refused_or_reported(tmp_path, name):
    labels = truth().later_wins()
    labels.matrix[14:16] = -1
    with pytest.raises(UserError, match="2 of 20 frames are not labelled"):
        write_labels(labels, tmp_path / "file", name)
    notes = write_labels(labels, tmp_path / "file", name, lossy=True)
    assert any("2 of 20 frames are not labelled" in note for note in notes)
    back = read_labels(tmp_path / "file", rate=10, frames=20)
    assert (back.matrix[14:16] == 0).all()


def test_the_format_with_unlabelled_frames_keeps_single_cells(tmp_path):
    labels = truth()
    labels.matrix[0], labels.matrix[3, 1] = -1, -1
    write_labels(labels, tmp_path / "a.csv")
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines[:3] == [",background,groom,rear", "0,-1,-1,-1", "1,1,0,0"]
    assert lines[4] == "3,0,1,-1"
    assert same(read_labels(tmp_path / "a.csv"), labels)


def test_behaviours_that_never_occur_are_reported_where_only_bouts_are_kept(tmp_path):
    labels = truth().arranged(("sleep", "groom", "rear"))
    keeping = {"deepethogram", "boris", "feral", "bento", "elan"}
    for name in set(FORMATS) - set(SINGLE):
        notes = write_labels(labels, tmp_path / name, name)
        assert bool(notes) == (name not in keeping)
        assert all("never occur: sleep" in note for note in notes)


def test_names_that_a_format_cannot_hold(tmp_path):
    labels = FrameLabels("a", ("lie down",), np.ones((3, 1)), FrameTimes(3, rate=5))
    with pytest.raises(UserError, match="'lie down' has a space"):
        write_labels(labels, tmp_path / "file", "caltech")
    odd = FrameLabels("a", (' "x", y;z',), np.ones((3, 1)), FrameTimes(3, rate=5))
    for name in ("vtrace", "bento"):
        with pytest.raises(UserError, match="cannot hold the name"):
            write_labels(odd, tmp_path / "file", name)


def test_frames_too_short_for_milliseconds(tmp_path):
    labels = FrameLabels.from_bouts(
        "a.mp4", ("x",), [("x", 3, 6)], 50, FrameTimes(50, rate=5000)
    )
    with pytest.raises(UserError, match=r"elan .* at 5000 frames per second: \d+ of 50"):
        write_labels(labels, tmp_path / "a.eaf")
    write_labels(labels, tmp_path / "a.vtrace.csv")
    assert same(read_labels(tmp_path / "a.vtrace.csv", rate=5000, frames=50), labels)


def test_seconds_need_a_rate(tmp_path):
    bare = FrameLabels("a.mp4", ("x",), np.ones((3, 1)))
    with pytest.raises(UserError, match="the frame rate of a.mp4 is not known"):
        write_labels(bare, tmp_path / "a.eaf")


# === Traps ===


def test_old_tabular_events_end_1_ms_before_the_next(write):
    notes = []
    labels = read_labels(write(BORIS_OLD), "clip.avi", notes=notes)
    assert same(labels, truth()) and labels.video == "clip.avi"
    assert notes[0] == "1 point event has no duration and was left out"
    assert "20 frames were taken from its duration of 2 s" in notes[1]


def test_comments_may_have_several_lines(write):
    text = BORIS_OLD.replace(",groom,,,STOP", ',groom,,"one\n\ntwo, three",STOP')
    assert same(read_labels(write(text)), truth())


def test_a_bout_may_start_where_the_last_stops_and_last_a_moment(write):
    head = BORIS_OLD[: BORIS_OLD.index("0.2,")]
    row = "{},clip.mp4,2.0,10.0,mouse,{},,,{}\n".format
    events = [(0.2, "groom", "START"), (0.5, "groom", "START"), (0.5, "groom", "STOP")]
    events += [(0.8, "groom", "STOP"), (1.0, "rear", "STOP"), (1.0, "rear", "START")]
    notes = []
    labels = read_labels(write(head + "".join(row(*e) for e in events)), notes=notes)
    assert labels.bouts() == [("groom", 2, 8), ("rear", 10, 11)]
    assert any("1 bout shorter than a frame" in note for note in notes)


def test_tabular_events_with_tabs_and_several_observations(write, tmp_path):
    write_labels(truth(), tmp_path / "t", "boris_tabular")
    head, *rows = (tmp_path / "t").read_text().replace(",", "\t").splitlines()
    # The second observation is at twice the rate: its times are other frames.
    other = [
        row.replace("clip.mp4", "late.mp4").replace("\t10\t", "\t20\t") for row in rows
    ]
    path = write("\n".join([head, *rows, *other]))
    refused("has 2 sets of labels (clip.mp4, late.mp4); name one", path)
    assert same(read_labels(path, "clip.mp4"), truth())
    late = read_labels(path, entry="late.mp4")
    assert late.frames == 40 and late.bouts("rear") == [("rear", 12, 18)]
    refused("has no labels of gone, but of clip.mp4, late.mp4", path, entry="gone")


def test_frame_numbers_may_be_missing_or_wrong(write, tmp_path):
    write_labels(truth(), tmp_path / "t", "boris_aggregated")
    text = (tmp_path / "t").read_text()
    notes = []
    missing = write(text.replace("clip.mp4,2,7,", "clip.mp4,NA,NA,"))
    assert same(read_labels(missing, frames=20, notes=notes), truth()) and not notes
    wrong = write(text.replace("clip.mp4,2,7,", "clip.mp4,22,27,"))
    assert same(read_labels(wrong, frames=20, notes=notes), truth())
    assert "differ from its times by up to 20 frames" in notes[0]


def test_projects_pair_events_by_order_subject_and_modifiers(write):
    events = boris_events([("groom", 2, 7)], subject="one")
    events += boris_events([("groom", 5, 9)], subject="two")
    events += [[1.5, "one", "peck", "", "", "NA"]]
    path, notes = write(boris_project(events[::-1])), []
    labels = read_labels(path, notes=notes)
    assert labels.behaviors == ("groom", "rear")
    assert labels.bouts() == [("groom", 2, 9)]
    assert any("2 subjects were joined (one, two)" in note for note in notes)
    assert any("1 point event" in note for note in notes)
    assert read_labels(path, subject="two").bouts() == [("groom", 5, 9)]
    refused("no bouts of 'three'", path, subject="three")


def test_a_state_that_never_stops_is_an_error(write):
    path = write(boris_project(boris_events()[:-1]))
    refused("obs1: the START of 'groom' at 1.6 s has no STOP", path)
    strange = boris_project([*boris_events(), [0.5, "", "rae", "", "", 5]])
    refused("obs1: the behaviour 'rae' at 0.5 s is not among the 3", write(strange))
    stop = BORIS_OLD.replace("1.2,/home/me/clip.mp4,2.0,10.0,mouse,groom,,,START\n", "")
    refused("obs1: the STOP of 'groom' at 1.3 s has no START", write(stop))


def test_one_bad_observation_does_not_spoil_the_others(write):
    project = boris_project(boris_events())
    other = boris_project(boris_events()[:-1], videos=["late.mp4"])
    project["observations"]["obs2"] = other["observations"]["obs1"]
    path = write(project)
    assert same(read_labels(path, "clip.mp4"), truth())
    refused("obs2: the START of 'groom' at 1.6 s has no STOP", path, "late.mp4")


def test_tables_of_videos_one_after_another_are_refused(write, tmp_path):
    write_labels(truth(), tmp_path / "t", "boris_aggregated")
    head, *rows = (tmp_path / "t").read_text().splitlines()
    second = rows[-1].replace("0.400,clip.mp4", "0.400,next.mp4")
    assert second != rows[-1]
    words = "clip.mp4 shows several videos one after another"
    refused(words, write("\n".join([head, *rows[:-1], second])), frames=20)
    old = BORIS_OLD.replace("1.6,/home/me/clip.mp4", "1.6,/home/me/next.mp4")
    refused("obs1 shows several videos one after another", write(old), frames=20)


def test_the_time_offset_of_an_observation_is_taken_off(write):
    path = write(boris_project(boris_events(offset=60.0), offset=60.0))
    assert same(read_labels(path), truth())


def test_videos_one_after_another_count_on(write):
    events = boris_events([("groom", 18, 23), ("rear", 30, 40)])
    path = write(boris_project(events, videos=("v/a.mp4", "b.mp4")))
    assert read_labels(path, "a.mp4").bouts() == [("groom", 18, 20)]
    assert read_labels(path, "b.mp4").bouts() == [("groom", 0, 3), ("rear", 10, 20)]


def test_bento_counts_from_1_and_includes_the_stop(write):
    wanted = truth().arranged(("groom", "rear", "sleep"))
    labels = read_labels(write(BENTO_FRAMES))
    assert same(labels, wanted) and labels.times.rate == 10
    with_times = BENTO_FRAMES.replace("start frame: 1", "start time: 1.0e-1")
    with_times = with_times.replace("stop frame: 20", "stop time: 2.0")
    for frames, seconds in (
        ("3\t7\t5", "0.3\t0.7\t0.4"),
        ("13\t13\t1", "1.3\t1.3\t0"),
        ("17\t20\t4", "1.7\t2\t0.3"),
        ("7\t9\t3", "0.7\t0.9\t0.2"),
    ):
        with_times = with_times.replace(f"\n{frames}\n", f"\n{seconds}\n")
    assert same(read_labels(write(with_times)), wanted)


def test_bento_files_of_a_part_leave_the_rest_unlabelled(write):
    part = BENTO_FRAMES.replace("start frame: 1", "start frame: 3")
    part = part.replace("stop frame: 20", "stop frame: 22")
    notes = []
    labels = read_labels(write(part), frames=25, rate=10, notes=notes)
    assert (labels.matrix[:2] == -1).all() and (labels.matrix[22:] == -1).all()
    assert labels.bouts("rear") == [("rear", 6, 9)] and "frames 3 to 22" in notes[0]


def test_observer_exports_with_decimal_commas_in_utf_16(write):
    path = write(OBSERVER, encoding="utf-16")
    assert same(read_labels(path, rate=10, frames=20), truth())
    refused("does not say the frame rate and the number of frames", path)


def test_the_number_of_other_is_what_the_vocabulary_says(write):
    vocabulary = {"groom": 0, "other": 1, "rear": 2}
    sequence = {"annotations": [1, 0, 0, 2, 1], "metadata": {"vocab": vocabulary}}
    path = write({"annotator-id_0": {"task1/train/a": sequence}})
    labels = read_labels(path, "a.mp4")
    assert labels.bouts() == [("groom", 1, 3), ("rear", 3, 4)]
    sequence["annotations"][4] = 3
    refused(
        "frame 4 is of class 3; classes are 0 groom, 1 other, 2 rear",
        write({"annotator-id_0": {"task1/train/a": sequence}}),
    )


def test_feral_files_of_several_labels_per_frame(write):
    content = {
        "is_multilabel": True,
        "class_names": {"0": "groom", "1": "rear"},
        "labels": {"a.mp4": [[0, 0], [1, 0], [1, 1]], "b.mp4": [[0, 1]]},
    }
    labels = read_labels(write(content), "a.avi")
    assert labels.bouts() == [("groom", 1, 3), ("rear", 2, 3)]
    content["labels"]["a.mp4"][1] = [1]
    refused("a.mp4: frame 1 has 1 values, but there are 2 classes", write(content))


EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT>
<HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/v/clip.mp4"
 MIME_TYPE="video/mp4" TIME_ORIGIN="1000"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="t2"/>
<TIME_SLOT TIME_SLOT_ID="t3" TIME_VALUE="800"/></TIME_ORDER>
<TIER TIER_ID="left"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1"
 TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2"><ANNOTATION_VALUE>groom</ANNOTATION_VALUE>
</ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="rear"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2"
 TIME_SLOT_REF1="t2" TIME_SLOT_REF2="t3"><ANNOTATION_VALUE/></ALIGNABLE_ANNOTATION>
</ANNOTATION></TIER>
<TIER TIER_ID="note" PARENT_REF="rear"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3"
 ANNOTATION_REF="a2"><ANNOTATION_VALUE>seen</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
</TIER></ANNOTATION_DOCUMENT>
"""


def test_elan_slots_without_time_lie_between_and_the_media_may_begin_earlier(write):
    notes = []
    labels = read_labels(write(EAF), "clip.mp4", rate=10, frames=20, notes=notes)
    assert labels.bouts() == [("groom", 10, 14), ("rear", 14, 18)]
    assert notes == ["dependent annotations (1) have no time: left out"]
    refused("refers to the missing time slot", write(EAF.replace('REF2="t3"', 'REF2="t9"')))
    refused("is damaged XML", write(EAF[:-10]))


def test_a_table_without_index_or_background(write):
    assert read_labels(write("groom,rear\n0,1\n1,0\n")).bouts() == [
        ("rear", 0, 1),
        ("groom", 1, 2),
    ]
    notes = []
    labels = read_labels(write(",groom\n1,0.0\n2,1.0\n"), notes=notes)
    assert labels.bouts() == [("groom", 1, 2)] and "count from 1" in notes[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (",background,x\n0,1,0\n1,1,1\n", "frame 1 has background 1, but its behaviours"),
        (",background,x\n0,1,0\n1,0,0\n", "frame 1 has background 0, but its behaviours"),
        (",x\n0,0\n2,0\n", "frame 2 stands where frame 1 is expected"),
        (",x\n0,0\n1,3\n", "frame 1 of 'x' is '3'"),
        (",x\n0,0\n1\n", "frame 1 has 1 cells, but the header 2"),
        (",x,x\n0,0,1\n", "names the behaviour 'x' twice"),
        ("labelId,timestamp,endTimestamp\nx,1,soon\n", "row 2: endTimestamp is 'soon'"),
        ("labelId,timestamp,endTimestamp\nx,0.4,0.2\n", "'x' starts at 0.4"),
        ("labelId,timestamp,endTimestamp\nx,0.4,9\n", "frames lasts 2 s"),
        ("labelId,timestamp,endTimestamp\nx,1\n", "row 2 has 2 cells, but the header 3"),
        ("just words\n", "is in none of the formats"),
        ("{broken", "is damaged JSON"),
        ('{"a": 1}', "is in none of the formats"),
        ('{"observations": {"a": {}}, "behaviors_conf": {}}', "not a whole BORIS project"),
        ("  \n", "is empty"),
    ],
)
def test_mistakes_in_files_are_one_line(write, text, words):
    refused(words, write(text), frames=20, rate=10)


def test_caltech_rows_with_gaps_and_overlaps(write):
    text = (
        "Caltech Behavior Annotator - Annotation File\n\nConfiguration file:\nother o\n"
        "groom g\n\nS1:\tstart\tend\ttype\n----\n\t3\t7\tgroom\n\t9\t9\tother\n"
    )
    notes = []
    assert read_labels(write(text), frames=20, notes=notes).bouts() == [("groom", 2, 7)]
    assert "between its rows" in notes[0]
    refused("does not say", write(text))
    refused(
        "frames 7 to 9 follow frame 7", write(text.replace("\t9\t9", "\t7\t9")), frames=9
    )
    refused("'gorom' is not among its 2", write(text.replace("7\tgroom", "7\tgorom")))


# === Against the video ===


def test_lengths_rates_and_names_that_differ_are_one_line_with_both(write, tmp_path):
    write_labels(truth(), tmp_path / "a.csv")
    refused("labels 20 frames, but the video has 18", tmp_path / "a.csv", frames=18)
    project = write(boris_project(boris_events()), "a.boris")
    refused("is of 10 frames per second, but 12 was given", project, rate=12)
    times = FrameTimes(60, rate=10)
    refused("is of a video of 2 s, but the video has 6 s", project, times=times)
    notes = []
    labels = read_labels(project, times=FrameTimes(24, rate=12), notes=notes)
    assert "says 10 frames per second and the video has 12" in notes[0]
    assert labels.bouts("rear") == [("rear", 7, 11)]
    refused("has no labels of other.mp4, but of obs1", project, "other.mp4")
    assert read_labels(project, "other.mp4", entry="obs1").video == "other.mp4"
    refused(
        "labels the behaviour 'rear', which is not among the 2 wanted",
        project,
        behaviors=("groom", "raer"),
    )
    names, notes = ("sleep", "rear", "groom"), []
    # A project lists what was scored; a list of bouts names what was seen.
    wanted = read_labels(project, frames=20, behaviors=names, notes=notes)
    assert same(wanted, truth().arranged(names, missing=-1))
    assert notes == ["sleep: not among its 2 behaviours, so not labelled (-1)"]
    write_labels(truth(), tmp_path / "a.vtrace.csv")
    wanted = read_labels(tmp_path / "a.vtrace.csv", frames=20, rate=10, behaviors=names)
    assert same(wanted, truth().arranged(names))


def test_bouts_shorter_than_a_frame_are_kept_and_reported(write):
    notes = []
    path = write("labelId,timestamp,endTimestamp\nx,0.41,0.43\n")
    labels = read_labels(path, rate=10, frames=20, notes=notes)
    assert labels.bouts() == [("x", 4, 5)]
    assert notes == ["1 bout shorter than a frame made one frame long"]


def test_a_missing_file():
    refused("gone.csv: no such file", "gone.csv")


@pytest.mark.real_data
def test_time_stamps_of_a_real_video_decide(real_data, tmp_path):
    video = real_data("ethogram", "procedural", "arena_01.mp4")
    labels = read_labels(real_data("ethogram", "procedural", "arena_01_vtrace.csv"), video)
    exact = read_labels(real_data("ethogram", "procedural", "arena_01_labels.csv"), video)
    assert labels.times.rate == 30 and not labels.times.variable
    assert same(labels.arranged(exact.behaviors), exact)
    other = real_data("ethogram", "procedural", "arena_00.mp4")
    csv = os.path.join(os.path.dirname(video), "arena_01_labels.csv")
    refused("labels 1200 frames, but the video has 1000", csv, other)
    refused("has 25 frames per second, but 30 was given", csv, other, rate=30)


@pytest.mark.real_data
def test_a_video_of_variable_rate(real_data):
    from h2s_keras.data import count_frames
    from h2s_keras.ethogram import video_times

    path = real_data("videos", "odd", "no_duration.webm")
    times = video_times(path)
    assert times.frames == count_frames(path) and (np.diff(times.starts) > 0).all()
