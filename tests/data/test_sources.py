import pytest

from h2s_keras.data import (
    VideoExample,
    class_folder_source,
    csv_source,
    leave_one_group_out,
)
from h2s_keras.data.datasets.sources import class_folder_list
from h2s_keras.errors import LeftOutWarning, MissingVideosWarning, UserError


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "set"
    for name in (
        "walk/v_g02_c01.avi",
        "walk/v_g01_c01.MP4",
        "run/person1/v_g01_c09.mov",
        "run/v_g03_c01.webm",
        "run/.hidden_g01_.avi",
        "run/notes.txt",
        "run/too/deep/v_g01_c01.avi",
        ".git/v_g01_c01.avi",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "readme.md").write_text("no class")
    return root


def test_class_folders(tree):
    examples, names = class_folder_source(tree, r"_g(\d+)_")
    assert names == ("run", "walk")
    assert examples == (
        VideoExample(str(tree / "run/person1/v_g01_c09.mov"), 0, "01"),
        VideoExample(str(tree / "run/v_g03_c01.webm"), 0, "03"),
        VideoExample(str(tree / "walk/v_g01_c01.MP4"), 1, "01"),
        VideoExample(str(tree / "walk/v_g02_c01.avi"), 1, "02"),
    )
    assert class_folder_source(tree)[0][0].group is None
    with pytest.raises(AttributeError):
        examples[0].label = 3


def test_what_is_left_out_is_counted(tree):
    for name in ("walk/clip.mod", "walk/more.mod"):
        (tree / name).write_bytes(b"x")
    with pytest.warns(LeftOutWarning) as told:
        listed = class_folder_list(tree)
    (text,) = [str(warning.message) for warning in told]
    assert text == (
        f"{tree}: left out: 1 video in folders deeper than CLASS/FOLDER (the first is "
        f"{tree}/run/too/deep/v_g01_c01.avi) and 4 files without the suffix of a video "
        f"(.mod 2, .md 1, .txt 1; the first is {tree}/readme.md)"
    )
    assert len(listed.left_out) == 5 and len(listed.train) == 4


def test_a_folder_of_videos_alone_is_not_warned_of(write_list, tmp_path, recwarn):
    for name in ("x/a.avi", "y/b.avi"):
        (tmp_path / "clean" / name).parent.mkdir(parents=True)
        (tmp_path / "clean" / name).write_bytes(b"x")
    assert class_folder_list(tmp_path / "clean").left_out == ()
    assert not recwarn


def test_broken_links_are_missing_videos(tree):
    (tree / "walk/a.avi").symlink_to("/no/such/disk/a.avi")
    (tree / "walk/frames").symlink_to("/no/such/disk/frames")
    (tree / "walk/good.avi").symlink_to(tree / "run/v_g03_c01.webm")
    listed = class_folder_list(tree)
    broken = [str(tree / "walk/a.avi"), str(tree / "walk/frames")]
    assert listed.missing() == broken and len(listed.train) == 7
    with pytest.raises(UserError, match=r"a link to /no/such/disk/a.avi, which is not"):
        listed.require_videos()
    with pytest.warns(MissingVideosWarning, match="2 of 7 videos are missing"):
        listed.require_videos(allow_missing=True)
    (tree / "swim").symlink_to("/no/such/disk/swim")
    with pytest.raises(UserError, match="swim: is a link to /no/such/disk/swim"):
        class_folder_list(tree)


def test_links_in_circles_end(tree):
    (tree / "walk/again").symlink_to(tree / "walk")
    (tree / "walk/person").mkdir()
    (tree / "walk/person/up").symlink_to(tree / "walk")
    assert len(class_folder_source(tree)[0]) == 4


def test_leave_one_group_out(tree):
    examples, _ = class_folder_source(tree, r"_g(\d+)_")
    train, test = leave_one_group_out(examples, "01")
    assert {e.group for e in train} == {"02", "03"} and {e.group for e in test} == {"01"}
    assert set(train) | set(test) == set(examples) and not set(train) & set(test)
    with pytest.raises(UserError, match="known groups are 01, 02, 03"):
        leave_one_group_out(examples, "9")
    with pytest.raises(UserError, match="has no group"):
        leave_one_group_out(class_folder_source(tree)[0], "01")
    with pytest.raises(UserError, match="nothing is left"):
        leave_one_group_out(test, "01")


def test_number_groups_are_listed_in_order():
    examples = [VideoExample("a", 0, str(group)) for group in (10, 2, 1)]
    with pytest.raises(UserError, match="1, 2, 10"):
        leave_one_group_out(examples, 3)


def test_bad_folders(tree, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        class_folder_source(tmp_path / "none")
    (tmp_path / "bare").mkdir()
    with pytest.raises(UserError, match="no class folders"):
        class_folder_source(tmp_path / "bare")
    (tmp_path / "bare" / "only").mkdir()
    with pytest.raises(UserError, match="one class folder only"):
        class_folder_source(tmp_path / "bare")
    (tree / "jump").mkdir()
    with pytest.raises(UserError, match="jump: this class folder holds no videos"):
        class_folder_source(tree)


def test_bad_patterns(tree):
    with pytest.raises(UserError, match=r"v_g01_c09.mov.*does not match"):
        class_folder_source(tree, r"_h(\d+)_")
    with pytest.raises(UserError, match="no parentheses"):
        class_folder_source(tree, r"_g\d+_")
    with pytest.raises(UserError, match="is broken"):
        class_folder_source(tree, "(")


@pytest.fixture
def write_list(tmp_path):
    for name in ("a.avi", "b.avi", "c.avi"):
        (tmp_path / name).write_bytes(b"x")

    def write(text):
        path = tmp_path / "list.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_csv(write_list, tmp_path):
    path = write_list("path,class,group_person\nb.avi,walk,1\na.avi,run,2\n")
    examples, names = csv_source(path)
    assert names == ("run", "walk")
    assert examples[0] == VideoExample(str(tmp_path / "b.avi"), 1, "1")
    assert csv_source(path, root=tmp_path)[0] == examples


def test_a_csv_may_list_what_is_not_there_yet(write_list, tmp_path):
    path = write_list("path,class\na.avi,x\nno.avi,y\n")
    examples, names = csv_source(path, require=False)
    assert examples[1] == VideoExample(str(tmp_path / "no.avi"), 1) and len(names) == 2


def test_csv_labels_of_either_base(write_list):
    for base in (0, 1):
        text = f"path,class,label\na.avi,walk,{base}\nb.avi,run,{base + 1}\n"
        examples, names = csv_source(write_list("\ufeff" + text))
        assert names == ("walk", "run") and [e.label for e in examples] == [0, 1]
        assert examples[0].group is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "no column 'path'"),
        ("path,klass\na.avi,x\n", "no column 'class'"),
        ("path,class\n", "lists no videos"),
        ("path,class\na.avi\n", "line 2"),
        ("path,class\na.avi,x\nb.avi,y,z\n", "line 3"),
        ("path,class\na.avi,x\nb.avi,x\n", "one class only"),
        ("path,class\na.avi,x\nno.avi,y\nno2.avi,y\n", r"no.avi: no such file.*2 of 3"),
        ("path,class,label\na.avi,x,0\nb.avi,y,one\n", "'one' is not a number"),
        ("path,class,label\na.avi,x,0\nb.avi,x,1\n", "two labels"),
        ("path,class,label\na.avi,x,0\nb.avi,y,5\n", r"labels \[0, 5\]"),
        ("path,class,label\na.avi,x,0\nb.avi,y,0\n", r"labels \[0, 0\]"),
        ("path,class,group_a,group_b\na.avi,x,1,1\nb.avi,y,1,1\n", "name one of them"),
    ],
)
def test_bad_lists(write_list, text, message):
    with pytest.raises(UserError, match=message):
        csv_source(write_list(text))


def test_a_file_that_is_no_table(write_list):
    path = write_list("")
    path.write_bytes(b"\x00\x01\xff\xfe,path,class\n")
    with pytest.raises(UserError, match="cannot be read as a UTF-8 CSV file"):
        csv_source(path)


def test_csv_segments(write_list, tmp_path):
    path = write_list("path,class,start,end\na.avi,x,0.5,2\na.avi,y,2,3.25\nb.avi,x,,\n")
    examples, _ = csv_source(path)
    assert [(e.label, e.start, e.end) for e in examples] == [
        (0, 0.5, 2.0),
        (1, 2.0, 3.25),
        (0, None, None),
    ]


@pytest.mark.parametrize(
    "cells", ["1,1", "-1,2", "2,1", "1,inf", "nan,2", "1,", ",1", "one,2", "0:01,0:02"]
)
def test_segments_that_make_no_sense(write_list, cells):
    text = f"path,class,start,end\na.avi,x,1,2\nb.avi,y,{cells}\n"
    with pytest.raises(UserError, match=r"line 3: start and end are seconds"):
        csv_source(write_list(text))


@pytest.mark.parametrize(
    ("columns", "advice"),
    [
        ("start_frame,end_frame", "'start_frame' .* in seconds by the columns start and"),
        ("begin,end", "'begin' .* start and end"),
        ("start,stop", "'stop' .* start and end"),
        ("Start,End", "'Start' .* start and end"),
        ("t_start,t_end", "'t_start' .* start and end"),
        ("start_time,end_time", "'start_time' .* start and end"),
        ("from,to", "'from' .* start and end"),
        ("start", "'start' alone"),
        ("end", "'end' alone"),
        ("labels", "'labels' .* its number by label"),
        ("class_id", "'class_id' .* its number by label"),
        ("Label", "'Label' .* its number by label"),
        ("split", "'split' .* leave a group out"),
        ("num_frames", "'num_frames' .* cannot say that"),
        ("note,note", "two columns 'note'"),
    ],
)
def test_columns_that_look_meant_are_refused(write_list, columns, advice):
    cells = ",1" * len(columns.split(","))
    text = f"path,class,{columns}\na.avi,x{cells}\nb.avi,y{cells}\n"
    with pytest.raises(UserError, match=advice):
        csv_source(write_list(text))


def test_other_columns_are_notes(write_list):
    path = write_list("path,class,camera,duration,fold\na.avi,x,1,2,a\nb.avi,y,1,2,b\n")
    assert [e.group for e in csv_source(path, group_column="fold")[0]] == ["a", "b"]
    path = write_list("path,class,camera,duration\na.avi,x,1,2\nb.avi,y,1,2\n")
    assert csv_source(path)[0][0].start is None


def test_paths_of_windows(write_list, tmp_path):
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "a.avi").write_bytes(b"x")
    examples, _ = csv_source(write_list("path,class\nwalk\\a.avi,x\nb.avi,y\n"))
    assert examples[0].path == str(tmp_path / "walk" / "a.avi")
    text = "path,class\nD:\\walk\\a.avi,x\nb.avi,y\n"
    with pytest.raises(
        UserError, match=r"D:\\walk\\a.avi: no such file, for it is a path of W"
    ):
        csv_source(write_list(text))
    (tmp_path / "odd\\name.avi").write_bytes(b"x")
    examples, _ = csv_source(write_list("path,class\nodd\\name.avi,x\nb.avi,y\n"))
    assert examples[0].path == str(tmp_path / "odd\\name.avi")


def test_group_column_by_name(write_list):
    path = write_list("path,class,group_a,group_b\na.avi,x,1,2\nb.avi,y,3,4\n")
    assert [e.group for e in csv_source(path, group_column="group_b")[0]] == ["2", "4"]
    with pytest.raises(UserError, match="no column 'person'"):
        csv_source(path, group_column="person")
    with pytest.raises(UserError, match="no such file"):
        csv_source(str(path) + ".none")


def test_real_lists(real_data):
    examples, names = csv_source(real_data("actions", "gestures", "manifest.csv"))
    assert len(examples) == 27 and len(names) == 3
    train, test = leave_one_group_out(examples, 1)
    assert (len(train), len(test)) == (18, 9)
    folder = real_data("actions", "ut_interaction")
    assert len(class_folder_source(folder, r"_(\d+)_\d\.avi")[0]) == 60


def test_the_suffixes_of_cameras_and_discs_are_videos(tmp_path):
    suffixes = ".mts .M2TS .vob .asf .3g2 .mpe .m2v .mxf .dv .divx .mp4".split()
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for suffix in suffixes:
            (tmp_path / label / f"video{suffix}").write_bytes(b"x")
        (tmp_path / label / "notes.txt").write_bytes(b"x")
    examples, _ = class_folder_source(tmp_path)
    assert len(examples) == 2 * len(suffixes)
