"""Draws the charts of the documents from the figures that stand in the repository.

Command: python -m benchmarks.tools.document_charts docs/images

Cost against size is drawn from `benchmarks/results`, error against time from the table
"Optical flow" of docs/results.md. The charts are dark on white: inside a page a picture
cannot know whether the page is light or dark.
"""

import io
import json
import pathlib
import re
import sys

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.suites.growth import charts

ROOT = pathlib.Path(__file__).parents[2]
GROWTH = ROOT / "benchmarks" / "results" / "0.1.0-growth-x86_64-2-cores.json"


def flow_methods(page):
    """{method: (end-point error, time over TV-L1's)} of the table in docs/results.md."""
    table = page.partition("## Optical flow")[2].partition("\n|")[2].partition("\n\n")[0]
    header, _, *rows = [
        [cell.strip(" *") for cell in line.strip("|").split("|")]
        for line in table.split("\n")
    ]
    error, share = header.index("mean"), header.index("time, of TV-L1's")
    return {row[0]: (float(row[error].split()[0]), float(row[share])) for row in rows}


def error_and_time(methods):
    """Methods of flow in the plane of time and error, as one `<svg>` element."""
    with rc_context({"svg.hashsalt": "h2s_keras", "font.size": 10.5}):
        figure = Figure((6.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        for name, (error, share) in methods.items():
            ours = "(" not in name and "_" in name
            axes.plot(share, error, "o", color="#d55e00" if ours else "#0072b2")
            axes.annotate(
                name.partition(" (")[0],
                (share, error),
                (0, 8),
                textcoords="offset points",
                ha="center",
                weight="bold" if ours else "normal",
            )
        axes.set_xscale("log")
        axes.set_xticks([0.03, 0.1, 0.3, 1], ["0.03", "0.1", "0.3", "1"])
        axes.set_xticks([], minor=True)
        axes.set(xlim=(0.02, 1.4), ylim=(0, 0.85))
        axes.set(xlabel="time, of TV-L1's", ylabel="mean end-point error, pixels")
        axes.set_title("Lower is more exact, further left is faster", loc="left")
        axes.grid(alpha=0.2)
        axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(
            buffer,
            format="svg",
            metadata={"Date": None, "Description": described(methods)},
        )
    text = buffer.getvalue()
    return text[text.index("<svg") :].strip()


def described(methods):
    return "; ".join(f"{name}: {one} px, {other}" for name, (one, other) in methods.items())


def on_white(picture):
    """An `<svg>` element whose ink is that of the page, as a picture of its own."""
    return picture.replace('style="', 'style="background:#fff;color:#111;', 1)


def main(folder):
    folder = pathlib.Path(folder)
    growth = json.loads(GROWTH.read_text("utf-8"))
    drawn = {f"growth_{axis}": on_white(chart) for axis, chart in charts(growth).items()}
    page = (ROOT / "docs" / "results.md").read_text("utf-8")
    drawn["flow_error_and_time"] = error_and_time(flow_methods(page))
    for name, picture in drawn.items():
        # Matplotlib leaves spaces at the ends of lines.
        lines = re.sub(r" +$", "", picture, flags=re.M)
        (folder / f"{name}.svg").write_text(lines + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
