"""The review page of a video in a headless Chromium."""

import numpy as np
import pytest
from web_visit import serve, write_webm

from h2s_keras.ethogram import FrameLabels, FrameTimes, Rule, decide
from h2s_keras.ethogram.review import write_review
from h2s_keras.ethogram.scorer import Prediction

RULES = [Rule(0.5, 3), Rule(0.5, 1)]


@pytest.fixture(scope="module")
def page_folder(tmp_path_factory):
    """review.html with labels, bouts.html without, of a video of 60 frames."""
    folder = tmp_path_factory.mktemp("review")
    video = write_webm(folder / "<b>a.webm", 60)
    chances = np.full((60, 2), 0.1, "float32")
    chances[10:30, 0], chances[20, 0], chances[40:45, 1] = 0.9, 0.2, 0.6
    truth = np.zeros((60, 2), int)
    truth[14:30, 0], truth[50:, 1] = 1, -1
    times, names = FrameTimes(60, rate=25), ("walk", "<i>groom")
    labels = FrameLabels(video.name, names, decide(chances, RULES), times)
    found = Prediction(chances, labels)
    write_review(folder / "review.html", video, found, RULES, labels_of(truth, names))
    write_review(folder / "bouts.html", video, found, RULES)
    return folder


def labels_of(matrix, names):
    return FrameLabels("a.webm", names, matrix)


@pytest.fixture
def opened(visit, page_folder):
    """`opened(name, **options)`: a page of the folder."""
    with serve(page_folder) as address:

        def make(name, **options):
            guest = visit(address + name, **options)
            guest.page.goto(guest.address)
            return guest

        yield make


def entries(page):
    return page.locator("#list button").all_text_contents()


def test_disagreements_are_listed_stepped_through_and_follow_the_slider(opened):
    guest = opened("review.html")
    page = guest.page
    assert page.text_content("h1") == "<b>a.webm"
    # The gap of one frame is closed by the rule, as in Python.
    assert entries(page) == [
        "<i>groom: predicted, not labelled, frames 40 to 44 (5)",
        "walk: predicted, not labelled, frames 10 to 13 (4)",
    ]
    assert "1 bout, 33.3 % of frames, F1 0.889" in page.text_content("#behaviors")
    page.keyboard.press("j")
    assert "frame 42 of 60, 1.68 s" in page.text_content("#caption")
    page.keyboard.press("j")
    assert "frame 11 of 60" in page.text_content("#caption")
    page.keyboard.press("k")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert "frame 51 of 60" in page.text_content("#caption")
    page.locator("#behaviors input").nth(1).fill("0.7")
    assert entries(page) == ["walk: predicted, not labelled, frames 10 to 13 (4)"]
    page.locator("#behaviors input").nth(0).fill("0.95")
    assert entries(page) == ["walk: labelled, not predicted, frames 14 to 29 (16)"]
    assert guest.errors == [] and guest.strangers == []
    assert [url for url in guest.requests if url.startswith("http")] == [guest.address]


def test_without_labels_the_bouts_are_listed(opened):
    page = opened("bouts.html").page
    assert entries(page) == [
        "walk: shown, frames 10 to 29 (20)",
        "<i>groom: shown, frames 40 to 44 (5)",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_it_fits_every_width_and_shows_pictures_and_strips(opened, width, scheme):
    size = {"width": width, "height": 800}
    guest = opened("review.html", viewport=size, color_scheme=scheme)
    page = guest.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.getElementById('picture').naturalWidth") > 0
    # Before the canvas is read below, which Chromium advises against.
    assert guest.errors == []
    # A pixel within the bout of the prediction is painted, one outside is another.
    colors = page.evaluate(
        """() => [20, 50].map((frame) => {
          const canvas = document.querySelector("canvas");
          const x = Math.round((frame + 0.5) / 60 * canvas.width);
          const y = Math.round(25 / 76 * canvas.height);
          return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data].join();
        })"""
    )
    assert colors[0] != colors[1]
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 27)")
