"""Flow for real video: a MotionNet beside zero flow, DIS and TV-L1, in error and time.

Command: python benchmarks/real_video.py [MODEL ...] --data FOLDER [--out TABLE.json]
    (MODEL is a preset such as tiny_synthetic, a .keras file or a run of 2 frames; needs
    opencv-contrib-python-headless. FOLDER holds flow/SEQUENCE/{frame10,frame11}.png and
    flow10.flo, actions/ut_interaction, actions/gestures and videos/demo.mp4.)

Columns:
- middlebury: end-point error in px, mean over the three sequences, whole pictures;
- ut, gestures, demo: what is left of the difference between neighbouring frames after the
  second is warped back, as a share of that difference (zero flow is 1), sums over all
  pairs, at the size of the file; "128" the same on the middle square shrunk to 128 px.
  Sequences 9 and 10 of UT-Interaction and person 3 of the gestures: no training sees them;
- still: mean length in px where a still camera sees nothing move (gestures of person 3,
  pixels that keep their colour through the whole video), and the same at 128 px;
- chairs: end-point error in px on pairs drawn as FlyingChairs are: photographs as moving
  backgrounds, things cut from others before them; zero flow's beside it;
- GFLOP and ms of a pair of 128x128, two threads.
"""

import argparse
import csv
import json
import os
import time

import cv2
import numpy as np

from h2s_keras.evaluation.flow_pairs import find_flow_pairs
from h2s_keras.evaluation.flow_results import photometric_error

CHAIRS = (40, (240, 320))
# At the size of the file every so many pairs are enough, which TV-L1 takes seconds for.
NATIVE = 8


def frames_of(path, numbers):
    """The frames of a video by number, RGB."""
    capture, found = cv2.VideoCapture(path), {}
    for number in range(max(numbers) + 1):
        good, frame = capture.read()
        if not good:
            break
        if number in numbers:
            found[number] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    return found


def neighbours(path, count):
    """Pairs of neighbouring frames, spread evenly over a video."""
    length = int(cv2.VideoCapture(path).get(cv2.CAP_PROP_FRAME_COUNT))
    starts = np.linspace(0, length - 3, count + 2).astype(int)[1:-1]
    found = frames_of(path, {*starts, *(starts + 1)})
    return [np.stack([found[i], found[i + 1]]) for i in starts if i + 1 in found]


def real_pairs(folder):
    """dict of lists of pairs: UT-Interaction, gestures, demo.mp4."""
    actions = os.path.join(folder, "actions")
    with open(os.path.join(actions, "ut_interaction", "manifest.csv")) as file:
        rows = [row for row in csv.DictReader(file) if row["group_sequence"] in ("9", "10")]
    ut = [os.path.join(actions, "ut_interaction", row["path"]) for row in rows]
    gestures = gesture_files(folder)
    demo = os.path.join(folder, "videos", "demo.mp4")
    return {
        "ut": [pair for path in ut for pair in neighbours(path, 4)],
        "gestures": [pair for path in gestures for pair in neighbours(path, 3)],
        "demo": neighbours(demo, 16),
    }


def gesture_files(folder):
    root = os.path.join(folder, "actions", "gestures")
    found = []
    for gesture in ("A1", "A2", "A3"):
        names = sorted(os.listdir(os.path.join(root, gesture)))
        found += [os.path.join(root, gesture, name) for name in names if "P3T" in name]
    return found


def still_pairs(folder):
    """(pair, mask where no pixel of the whole video ever leaves its colour)."""
    found = []
    for path in gesture_files(folder):
        length = int(cv2.VideoCapture(path).get(cv2.CAP_PROP_FRAME_COUNT))
        frames = frames_of(path, set(range(0, length, 3)))
        grey = np.stack([frame.mean(-1) for frame in frames.values()])
        grey = np.stack([cv2.GaussianBlur(picture, (0, 0), 3) for picture in grey])
        moved = (np.abs(grey - np.median(grey, 0)).max(0) > 4).astype("uint8")
        mask = cv2.dilate(moved, np.ones((33, 33), "uint8")) == 0
        found += [(pair, mask) for pair in neighbours(path, 1)]
    return found


def photographs(folder):
    """Still pictures to draw chairs pairs from: frames of videos, none of them tested."""
    root = os.path.join(folder, "actions")
    files = sorted(
        os.path.join(root, "ucf101_clips", name)
        for name in os.listdir(os.path.join(root, "ucf101_clips"))
        if name.endswith(".avi")
    )
    files.append(os.path.join(folder, "videos", "flipping_a_pancake.mkv"))
    pictures = [neighbours(path, 6) for path in files]
    return [pair[0] for pairs in pictures for pair in pairs]


def chairs_pairs(folder, seed=7):
    """[(pair, flow)]: affine motions of photographs and of shapes cut from others."""
    generator = np.random.default_rng(seed)
    pictures, (count, (height, width)) = photographs(folder), CHAIRS
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    ones = np.stack([x, y, np.ones_like(x)], -1).astype("float64")

    def motion(speed):
        """A 3x3 affine step about the middle of the picture."""
        angle, growth = generator.normal(0, 0.03), np.exp(generator.normal(0, 0.03))
        shift = generator.laplace(0, speed, 2)
        cosine, sine = growth * np.cos(angle), growth * np.sin(angle)
        middle = np.array([width / 2, height / 2])
        matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1.0]])
        matrix[:2, 2] = middle - matrix[:2, :2] @ middle + shift
        return matrix

    found = []
    for number in range(count):
        frames, flow = None, None
        camera = motion(2.5)
        for layer in range(1 + int(generator.integers(2, 6))):
            picture = pictures[generator.integers(len(pictures))]
            scale = max(1.3 * width / picture.shape[1], 1.3 * height / picture.shape[0])
            scale *= generator.uniform(1.0, 1.4)
            place = np.array([[scale, 0, -0.15 * width], [0, scale, -0.15 * height]])
            place = np.vstack([place, [0, 0, 1]])
            later = camera @ motion(4.0) if layer else camera
            if layer == 0 and number % 4 == 0:
                # Sky: a slow gradient, dark in half of the cases.
                sky = np.linspace(0, 1, picture.shape[0])[:, None, None]
                light = 40 if number % 8 else 170
                half = (picture.shape[0] * 2) // 3
                picture = picture.copy()
                picture[:half] = (light + 15 * sky + np.zeros_like(picture))[:half]
            shape = np.full(picture.shape[:2], 255, "uint8")
            if layer:
                shape[:] = 0
                corners = int(generator.integers(5, 12))
                angles = np.sort(generator.uniform(0, 2 * np.pi, corners))
                size = np.exp(generator.uniform(np.log(10), np.log(70)))
                radii = size * generator.uniform(0.3, 1.0, corners)
                middle = generator.uniform(0.25, 0.75, 2) * shape.shape[::-1]
                outline = middle + radii[:, None] * np.stack(
                    [np.cos(angles), np.sin(angles)], -1
                )
                cv2.fillPoly(shape, [np.round(outline).astype("int32")], 255, cv2.LINE_AA)
                for _ in range(int(generator.integers(0, 4))):  # legs
                    end = middle + generator.normal(0, size, 2)
                    line = [tuple(int(v) for v in point) for point in (middle, end)]
                    cv2.line(shape, *line, 255, int(generator.integers(2, 6)), cv2.LINE_AA)
            views, covers = [], []
            for step in (np.eye(3), later):
                matrix = (step @ place)[:2]
                for source, kept in ((picture, views), (shape, covers)):
                    kept.append(
                        cv2.warpAffine(
                            source,
                            matrix,
                            (width, height),
                            flags=cv2.INTER_LINEAR,
                            borderMode=cv2.BORDER_REFLECT_101 if kept is views else 0,
                        )
                    )
            moved = (ones @ later.T)[..., :2] - ones[..., :2]
            if frames is None:
                frames, flow = np.stack(views).astype("float64"), moved
                continue
            share = np.stack(covers)[..., None] / 255.0
            frames += share * (np.stack(views) - frames)
            flow = np.where(share[0] > 0.5, moved, flow)
        frames += generator.normal(0, generator.uniform(0, 3), frames.shape)
        found.append((np.clip(np.rint(frames), 0, 255).astype("uint8"), flow))
    return found


def middle(picture, resampling, side=128):
    """The short side shrunk to 128 px, and of the long one the middle."""
    height, width = picture.shape[:2]
    scale = side / min(height, width)
    size = max(side, round(width * scale)), max(side, round(height * scale))
    picture = cv2.resize(picture, size, interpolation=resampling)
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return picture[top : top + side, left : left + side]


def smaller(pair):
    return np.stack([middle(frame, cv2.INTER_AREA) for frame in pair])


def end_point_error(truth, estimate):
    distance = np.hypot(*np.moveaxis(truth - estimate, -1, 0))
    return float(np.nanmean(distance))


def photometric_share(pairs, method):
    """Sums over all pairs: of the warped difference over that of zero flow."""
    figures = [photometric_error(pair, method(pair)) for pair in pairs]
    return sum(f["photometric"] for f in figures) / sum(
        f["zero_photometric"] for f in figures
    )


def smaller_mask(mask):
    return middle(mask.astype("uint8"), cv2.INTER_NEAREST) > 0


def still_length(pairs, method):
    """Mean length of the flow inside the masks of (pair, mask)."""
    lengths = [np.hypot(*np.moveaxis(method(p), -1, 0))[mask] for p, mask in pairs]
    return float(np.mean(np.concatenate(lengths)))


class Bench:
    """The pairs, read and drawn once; `figures` measures a method on them."""

    def __init__(self, folder):
        found = find_flow_pairs(os.path.join(folder, "flow"))
        self.middlebury = {
            pair.name: pair.read() for pair in found if pair.truth is not None
        }
        self.real, self.still = real_pairs(folder), still_pairs(folder)
        self.chairs = chairs_pairs(folder)

    def figures(self, method, short=False):
        """dict of columns; `short`: only what is needed to watch a training."""
        row = {"middlebury": 0.0}
        for name, (pair, truth) in self.middlebury.items():
            row[name] = end_point_error(truth, method(pair))
            row["middlebury"] += row[name] / len(self.middlebury)
        step = 4 if short else 1
        for name, pairs in self.real.items():
            if not short:
                row[name] = photometric_share(pairs[::NATIVE], method)
            row[f"{name} 128"] = photometric_share(
                [smaller(pair) for pair in pairs[::step]], method
            )
        if not short:
            row["still"] = still_length(self.still, method)
        small = [(smaller(pair), smaller_mask(mask)) for pair, mask in self.still[::step]]
        row["still 128"] = still_length(small, method)
        pairs = self.chairs[::step]
        row["chairs"] = float(np.mean([end_point_error(t, method(p)) for p, t in pairs]))
        small = smaller(self.chairs[0][0])
        method(small)
        started = time.perf_counter()
        for _ in range(5):
            method(small)
        row["ms"] = 1000 * (time.perf_counter() - started) / 5
        return row


def gigaflop(motion_net, side=128, smallest=16):
    """Multiplications and additions, in 1e9, of all sizes of a pair, by the shapes."""
    total, pixels = 0.0, 0.0
    while side >= smallest:
        pixels += side * side
        side //= 2
    area = pixels
    sizes = []
    for convolution, is_level in zip(
        motion_net.convolutions, motion_net._levels, strict=True
    ):
        area /= convolution.strides[0] ** 2
        total += area * np.prod(convolution.kernel.shape)
        if is_level:
            sizes.append(area)
    head, sizes = motion_net.head, sizes[::-1]
    for size, convolution in zip(sizes, head.flow_convolutions, strict=True):
        total += size * np.prod(convolution.kernel.shape)
    for index, size in enumerate(sizes[:-1]):
        for layer in (head.deconvolutions[index], head.upsamplings[index]):
            total += size * np.prod(layer.kernel.shape)
        if head.smooth_convolutions:
            kernel = head.smooth_convolutions[index].kernel
            total += sizes[index + 1] * np.prod(kernel.shape)
    return 2 * total / 1e9


def grey(pair):
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair]


def simple_methods():
    inverse_search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    total_variation = cv2.optflow.DualTVL1OpticalFlow_create()
    return {
        "zero flow": lambda pair: np.zeros((*pair.shape[1:3], 2), "float32"),
        "DIS medium": lambda pair: inverse_search.calc(*grey(pair), None),
        "TV-L1": lambda pair: total_variation.calc(*grey(pair), None),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("models", nargs="*")
    parser.add_argument("--data", required=True, help="folder of the data")
    parser.add_argument("--out", help="JSON file to add the rows to")
    parser.add_argument("--short", action="store_true", help="a quarter of the pairs")
    parser.add_argument("--simple", action="store_true", help="also zero flow, DIS, TV-L1")
    options = parser.parse_args()
    cv2.setNumThreads(2)
    bench = Bench(options.data)
    rows = {}
    if options.simple:
        for name, method in simple_methods().items():
            rows[name] = bench.figures(method, options.short)
            show(name, rows[name])
    from h2s_keras.evaluation.flow_estimators import load_flow_network

    for path in options.models:
        motion_net = load_flow_network(path)
        rows[path] = bench.figures(
            lambda pair, network=motion_net: network.estimate_flow(pair[None])[0, 0],
            options.short,
        )
        rows[path]["GFLOP"] = gigaflop(motion_net)
        show(path, rows[path])
    if options.out:
        known = {}
        if os.path.exists(options.out):
            with open(options.out, encoding="utf-8") as file:
                known = json.load(file)
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump({**known, **rows}, file, indent=1)
            file.write("\n")


def show(name, row):
    figures = "  ".join(f"{column} {value:.3f}" for column, value in row.items())
    print(f"{name}: {figures}", flush=True)


if __name__ == "__main__":
    main()
