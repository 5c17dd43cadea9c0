"""Draws the curves of `python -m benchmarks growth --json FILE` as SVG files.

Command: python -m benchmarks.tools.growth_charts growth.json docs/images
"""

import json
import os
import sys

from benchmarks.suites.growth import charts


def main(result, folder):
    with open(result, encoding="utf-8") as file:
        drawn = charts(json.load(file))
    for axis, picture in drawn.items():
        path = os.path.join(folder, f"growth_{axis}.svg")
        with open(path, "w", encoding="utf-8") as file:
            file.write(picture + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
