"""The exported page in a headless Chromium, against Keras and `h2s predict`."""

import base64
import json
import re
import shutil

import numpy as np
import pytest
from web_visit import WEBGPU_ON_THE_CPU, serve, write_webm

from h2s_keras import VideoClassifier

NOTES = "async () => (await h2s.ready).notes"
ANSWER = """async (encoded) => {
    const recognizer = await h2s.ready;
    const pixels = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    const { logits, probabilities, flow } = await recognizer.answerClip(pixels);
    return { logits: [...logits], probabilities, flow: [...flow.values],
             size: [flow.height, flow.width], place: recognizer.place };
}"""
WHOLE = """async (encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    return h2s.answerFile(new File([bytes], "v.webm", { type: "video/webm" }));
}"""
# The red, green and blue of the middle pixel of frames of a video, by number.
MIDDLES = """async ([encoded, rate, numbers]) => {
    const { model } = await h2s.ready;
    const { VideoReader } = await import("./video_reader.js");
    const bytes = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
    const element = document.getElementById("reader");
    const reader = new VideoReader({ ...model, frame_rate: rate }, element);
    await reader.open(new File([bytes], "v.webm", { type: "video/webm" }));
    const [height, width] = model.image_size;
    const middle = 3 * ((height / 2) * width + width / 2);
    const found = [];
    for (const number of numbers) {
        found.push([...(await reader.frame(number)).slice(middle, middle + 3)]);
    }
    return { found, length: reader.length, rate: reader.rate };
}"""


def encoded(content):
    return base64.b64encode(content).decode()


def moving_clip(model, seed):
    """uint8 (1, T, H, W, 3): a coarse texture that moves by some pixels a frame."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (*(side // 8 for side in model.image_size), 3))
    texture = cells.astype("uint8").repeat(8, axis=0).repeat(8, axis=1)
    step = (1 + seed, -seed)
    return np.stack(
        [np.roll(texture, np.multiply(step, t), (0, 1)) for t in range(model.num_frames)]
    )[None]


def expected(model, clip):
    outputs = model.predict_on_batch(clip)
    flow = outputs["flow2"][0]
    scale = model.image_size[0] / flow.shape[1]
    return outputs["logits"][0], flow[len(flow) // 2] * scale


def check_clips(place, model, opened):
    for seed in (1, 2, 3):
        clip = moving_clip(model, seed)
        answer = opened.page.evaluate(ANSWER, encoded(clip.tobytes()))
        logits, flow = expected(model, clip)
        assert re.fullmatch(place, answer["place"])
        np.testing.assert_allclose(answer["logits"], logits, atol=1e-3)
        shares = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(answer["probabilities"], shares, atol=1e-3)
        assert tuple(answer["size"]) == flow.shape[:2]
        found = np.reshape(answer["flow"], flow.shape)
        np.testing.assert_allclose(found, flow, atol=2e-3)
        assert np.abs(flow).max() > 0.5  # there is motion to be wrong about
    assert not opened.errors and not opened.strangers


@pytest.mark.parametrize("name", ["quickstart", "fine"])
def test_a_clip_handed_over_gets_the_numbers_of_keras(request, visit, name):
    folder = request.getfixturevalue(f"{name}_page")
    with serve(folder) as address:
        opened = visit(address).open()
        check_clips("WebAssembly, 1 thread", request.getfixturevalue(name), opened)


def test_an_isolated_page_computes_in_threads(visit, fine_page, fine):
    with serve(fine_page, isolated=True) as address:
        opened = visit(address).open()
        check_clips(r"WebAssembly, [2-4] threads", fine, opened)


def test_webgpu_gives_the_same_numbers(visit, fine_page, fine):
    with serve(fine_page) as address:
        opened = visit(address, flags=WEBGPU_ON_THE_CPU)
        opened.page.goto(address)
        if not opened.page.evaluate("navigator.gpu?.requestAdapter().then((a) => !!a)"):
            pytest.skip("this Chromium has no WebGPU, not even on the CPU")
        opened.open()
        notes = opened.page.evaluate(NOTES)
        if notes:
            # The page found out by itself, and computes without it.
            assert len(notes) == 1 and notes[0].startswith("webgpu: other "), notes
            check_clips("WebAssembly, 1 thread", fine, opened)
            pytest.skip(f"WebGPU of this Chromium computes wrongly: {notes[0]}")
        check_clips("WebGPU", fine, opened)


@pytest.mark.parametrize("rate", [25, 30])
def test_frames_are_found_by_their_number(visit, fine_page, tmp_path, rate):
    def picture(number):
        color = (16 * (number % 16), 16 * (number // 16), 128)
        return np.full((64, 96, 3), color, "uint8")

    path = write_webm(tmp_path / "numbered.webm", 45, rate, (64, 96), picture=picture)
    with serve(fine_page) as address:
        page = visit(address).open().page
        for wanted_rate in (None, 10.0, float(rate)):
            from h2s_keras.data import read_frames

            frames = read_frames(path, rate=wanted_rate)
            numbers = [len(frames) - 1, 0, 1, 7, len(frames) // 2]
            given = [encoded(path.read_bytes()), wanted_rate, numbers]
            answer = page.evaluate(MIDDLES, given)
            assert answer["length"] == len(frames), (rate, wanted_rate)
            assert answer["rate"] == pytest.approx(wanted_rate or rate, rel=1e-3)
            # Neighbours differ by 16; colours of a lossy file by a few.
            np.testing.assert_allclose(
                answer["found"], frames[numbers][:, 32, 48].astype(int), atol=6
            )


@pytest.mark.parametrize("name", ["quickstart", "fine"])
@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_a_video_gets_the_answer_of_predict(request, visit, tmp_path, name, codec):
    folder, model = (request.getfixturevalue(key) for key in (f"{name}_page", name))
    path = write_webm(tmp_path / "v.webm", 40, codec=codec)
    scores = VideoClassifier(model).scores(path)
    with serve(folder) as address:
        opened = visit(address).open()
        found = opened.page.evaluate(WHOLE, encoded(path.read_bytes()))
    assert np.argmax(found) == np.argmax(scores)
    # Two decoders and two ways to shrink a frame lie between.
    np.testing.assert_allclose(found, scores, atol=0.02)
    assert not opened.errors and not opened.strangers


def test_a_file_is_chosen_played_and_answered(visit, quickstart_page, video, quickstart):
    best = VideoClassifier(quickstart).predict(str(video))[0]
    with serve(quickstart_page) as address:
        opened = visit(address).open()
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "file"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "camera"
        page.set_input_files("#file", str(video))
        page.wait_for_selector("#scores li")
        rows = page.locator("#scores li").all_inner_texts()
        assert len(rows) == 5 and rows[0].splitlines()[0] == best["class"]
        assert float(rows[0].splitlines()[-1].rstrip("\u00a0%")) == pytest.approx(
            100 * best["score"], abs=2
        )
        opened.wait("#answers", None)
        assert page.inner_text("#best") in quickstart.class_names
        assert float(page.inner_text("#frames")) > 0
        # The texture moves to the right, which is red.
        red, green, blue, _ = page.evaluate(
            "Object.values(document.getElementById('flow').getContext('2d')"
            ".getImageData(0, 0, 32, 32).data).reduce((sums, value, place) =>"
            " (sums[place % 4] += value / 1024, sums), [0, 0, 0, 0])"
        )
        assert red > max(green, blue) + 8
        assert not opened.errors and not opened.strangers


def test_the_camera_is_watched_and_let_go(visit, quickstart_page):
    with serve(quickstart_page) as address:
        opened = visit(address).open()
        page = opened.page
        page.click("#camera")
        opened.wait("#answers", None)
        assert page.inner_text("#camera") == "Stop the camera"
        page.click("#camera")
        opened.wait("#camera", "Use the camera")
        assert page.evaluate("document.getElementById('video').srcObject") is None
        assert not opened.errors and not opened.strangers


def test_a_file_that_is_no_video_is_refused_in_words(visit, fine_page, tmp_path):
    (tmp_path / "notes.webm").write_bytes(b"no video" * 1000)
    one = write_webm(tmp_path / "one.webm", 1)
    with serve(fine_page) as address:
        opened = visit(address).open()
        opened.page.set_input_files("#file", str(tmp_path / "notes.webm"))
        opened.wait("#error", "notes.webm cannot be played by this browser")
        opened.page.set_input_files("#file", str(one))
        opened.wait("#error", "one frame and so no motion")


def test_a_network_that_answers_otherwise_is_not_used(visit, fine_page, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(fine_page, folder)
    facts = json.loads((folder / "model.json").read_text())
    logits = facts["check"]["logits"]
    logits[0] += 0.01 * max(1.0, *map(abs, logits))
    (folder / "model.json").write_text(json.dumps(facts))
    with serve(folder) as address:
        page = visit(address).page
        page.goto(address)
        page.wait_for_selector("#error:not([hidden])")
        assert "other logits than before the export" in page.inner_text("#error")
        assert page.is_disabled("#file")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_nothing_overflows(visit, fine_page, video, width, scheme, tmp_path):
    with serve(fine_page) as address:
        size = {"width": width, "height": 900}
        opened = visit(address, viewport=size, color_scheme=scheme).open()
        page = opened.page
        page.set_input_files("#file", str(video))
        page.wait_for_selector("#scores li")
        opened.wait("#answers", None)
        wide = page.evaluate(
            "[...document.querySelectorAll('body *:not(.reader *)')].filter((one) =>"
            " one.getBoundingClientRect().right > innerWidth + 0.5).map((one) => one.id)"
        )
        assert not wide
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # Class names are text, whatever they hold.
        assert "<b>up</b>" in page.inner_text("#scores")
        page.screenshot(path=str(tmp_path / f"{width}_{scheme}.png"), full_page=True)
        assert not opened.errors
