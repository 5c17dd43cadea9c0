"""`h2s flow`: the motion that a trained MotionNet sees, as files and pictures."""

import math
import os

from h2s_keras.cli.predict import add_runtime_argument
from h2s_keras.cli.quiet import import_keras, print_device
from h2s_keras.errors import UserError
from h2s_keras.files import missing_folders, new_file, removed_if_unused
from h2s_keras.model_files import check_model

HELP = "estimate optical flow of a video, or between two image files"
EXAMPLE = "h2s flow video.mp4 --out flow_of_video"

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm")
_FILES = (".flo", ".png")


def add_arguments(parser):
    parser.add_argument(
        "inputs", nargs="+", metavar="VIDEO|FRAME FRAME", help="a video, or two images"
    )
    parser.add_argument(
        "--model",
        default="tiny_synthetic",
        help="a preset, a .keras file, or the folder of a training run (default "
        "tiny_synthetic, which comes with the package)",
    )
    parser.add_argument(
        "--out",
        required=True,
        help="a folder (one .flo and one colour picture per pair), or for two images also "
        "x.flo or x.png (16-bit KITTI flow)",
    )
    parser.add_argument(
        "--max_pairs", type=int, default=None, metavar="N", help="stop after N pairs"
    )
    parser.add_argument(
        "--max_flow",
        type=float,
        metavar="PIXELS",
        help="motion of the fullest colour in the pictures (default: the largest of each, "
        "at least 1); one value makes the pictures of a video comparable",
    )
    add_runtime_argument(parser)


def run(arguments):
    limit = arguments.max_flow
    if limit is not None and not 0 < limit < math.inf:
        raise UserError(f"--max_flow is above 0 pixels; received {limit:g}")
    frames, single = _frames(arguments.inputs)
    to_file = arguments.out.lower().endswith(_FILES)
    if to_file and not single:
        raise UserError(
            f"{arguments.out}: a video gives many flows; give a folder for --out"
        )
    if to_file:
        new_file(arguments.out)
    if arguments.max_pairs is not None and arguments.max_pairs < 1:
        raise UserError(
            f"--max_pairs takes a number from 1; received {arguments.max_pairs}"
        )
    check_model(arguments.model)
    with removed_if_unused(missing_folders(arguments.out)):
        if not to_file:
            _make_folder(arguments.out)
        return _write_flows(arguments, frames, single, to_file)


def _write_flows(arguments, frames, single, to_file):
    limit = arguments.max_flow
    import_keras()
    from h2s_keras.cli.progress import Progress
    from h2s_keras.data.flow_files import write_flow
    from h2s_keras.evaluation.flow_estimators import learned_flow, load_flow_network
    from h2s_keras.runtimes.in_runtime import in_runtime

    motion_net = in_runtime(load_flow_network(arguments.model), arguments.runtime)
    count = 0
    progress = Progress()
    print_device(progress.message)
    pairs = 1 if single else arguments.max_pairs
    with progress.count("pairs", pairs) as counter:
        for flow in learned_flow(motion_net)(frames):
            if to_file:
                write_flow(arguments.out, flow)
            else:
                _write_pair(arguments.out, count, flow, limit)
            count += 1
            counter.update(count)
            if count == arguments.max_pairs:
                break
    if not count:
        raise UserError(
            f"{arguments.inputs[0]}: motion needs at least two frames; it has one"
        )
    print(f"{count} flow {'field' if count == 1 else 'fields'} in {arguments.out}")
    return 0


def _frames(inputs):
    """(iterator over frames, whether it is one pair)."""
    from h2s_keras.data.video.images import read_image
    from h2s_keras.data.video.reading import iterate_frames

    if len(inputs) == 1:
        if inputs[0].lower().endswith(_IMAGES):
            raise UserError(f"{inputs[0]}: is one image; flow needs two, or a video")
        return iterate_frames(inputs[0], on_broken="keep"), False
    if len(inputs) != 2:
        raise UserError(f"give one video or two images; received {len(inputs)} names")
    first, second = (read_image(path) for path in inputs)
    if first.shape != second.shape:
        raise UserError(
            f"{inputs[1]}: is {second.shape[1]}x{second.shape[0]} pixels and {inputs[0]} "
            f"{first.shape[1]}x{first.shape[0]}; the two must be of one size"
        )
    return iter([first, second]), True


def _make_folder(path):
    if os.path.isdir(path) and os.listdir(path):
        raise UserError(f"{path}: holds files already; give another --out")
    if os.path.exists(path) and not os.path.isdir(path):
        raise UserError(
            f"{path}: is a file; give a folder, or a name ending in .flo or .png"
        )
    os.makedirs(path, exist_ok=True)


def _write_pair(folder, index, flow, limit):
    from h2s_keras.data.flow_files import write_flow
    from h2s_keras.data.video.images import write_png
    from h2s_keras.visualization.flow_color import flow_to_color, largest_magnitude

    write_flow(os.path.join(folder, f"flow_{index:06d}.flo"), flow)
    if limit is None:
        # Noise of a still scene would otherwise shine like motion.
        limit = max(1.0, largest_magnitude(flow))
    picture = flow_to_color(flow, limit)
    write_png(os.path.join(folder, f"flow_{index:06d}_color.png"), picture)
