"""`h2s convert`: Caffe weights as a .keras file of this library."""

import json
import os

from h2s_keras.cli.quiet import import_keras
from h2s_keras.errors import FileError, UserError
from h2s_keras.files import whole_file

HELP = "turn Caffe weights (.caffemodel) into a .keras model"
EXAMPLE = "h2s convert motion_net.caffemodel --out motion_net.keras"

# Far above the published 11; larger numbers of frames come from damaged files only.
_MAX_FRAMES = 100
_PUBLISHED_SIZE = (224, 224)


def add_arguments(parser):
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a .caffemodel of MotionNet, of MotionNet stacked with VGG16, or of a "
        "BN-Inception stream (TSN)",
    )
    parser.add_argument("--out", required=True, metavar="X.keras", help="file to write")
    parser.add_argument(
        "--model",
        choices=("motionnet", "tiny", "stacked", "bn_inception"),
        help="what FILE holds (default: found by its layers); motionnet also takes "
        "MotionNet alone out of a stacked file",
    )
    parser.add_argument(
        "--prototxt", help="the network's deploy .prototxt, for layers of other names"
    )
    parser.add_argument(
        "--spatial",
        metavar="FILE",
        help="a spatial VGG16's or BN-Inception's .caffemodel, joined with a stacked FILE "
        "or with a BN-Inception FILE over flow",
    )
    parser.add_argument(
        "--motion",
        metavar="M",
        help="preset or .keras file of the MotionNet that a BN-Inception FILE over flow "
        "gets its flow from; makes a two-stream model",
    )
    parser.add_argument(
        "--spatial_mean",
        nargs=3,
        type=float,
        metavar=("B", "G", "R"),
        help="mean that the spatial stream was trained with: 104 117 123, or "
        "103.939 116.779 123.68 (default)",
    )
    parser.add_argument(
        "--classes", metavar="FILE", help="text file of class names, one per line, in order"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(arguments):
    out = arguments.out
    if not out.endswith(".keras"):
        raise UserError(f"{out}: its name must end in .keras; rename it")
    if os.path.exists(out):
        raise UserError(f"{out}: exists already; give another --out")
    if arguments.spatial_mean and not arguments.spatial:
        raise UserError("--spatial_mean goes with --spatial FILE")

    _check_files(arguments)
    import_keras()
    from h2s_keras.models.caffe_weights.loading import load_caffe_weights

    model = _model(arguments)
    reports = [load_caffe_weights(model, arguments.file, arguments.prototxt)]
    if arguments.spatial:
        mean = arguments.spatial_mean
        reports.append(load_caffe_weights(model, arguments.spatial, spatial_mean=mean))
    _save(model, out)
    if arguments.json:
        print(json.dumps({"out": out, "reports": [vars(report) for report in reports]}))
    else:
        for report in reports:
            print(report)
        print(f"written to {out}")
    return 0


def _check_files(arguments):
    for path, kind in (
        (arguments.file, "a .caffemodel"),
        (arguments.spatial, "a .caffemodel"),
        (arguments.prototxt, "a .prototxt"),
        (arguments.classes, "a text file of class names"),
    ):
        if path and not os.path.isfile(path):
            raise FileError(path, f"no such file; give {kind}")


def _model(arguments):
    """An empty model of the sizes that the file's arrays have."""
    from h2s_keras.models.caffe_weights.slot import plain_shape
    from h2s_keras.models.motion_net import MotionNet

    path = arguments.file
    layers, inception = _layers(path)
    if arguments.model == "bn_inception" or (inception and arguments.model is None):
        return _bn_inception(arguments, layers)
    if arguments.motion:
        raise UserError("--motion goes with a BN-Inception FILE over flow")
    dense = [layer for layer in layers if layer.type == "InnerProduct"]
    first = next(
        (layer.blobs[0].shape for layer in layers if layer.type == "Convolution"), ()
    )
    if not any(layer.type == "Deconvolution" for layer in layers):
        cure = "; give it as --spatial beside a stacked FILE" if dense else ""
        raise FileError(path, f"holds no MotionNet (no deconvolutions){cure}")
    kind = arguments.model or (
        "stacked" if dense else "tiny" if first[-1:] == (7,) else "motionnet"
    )
    if kind != "stacked" and (arguments.spatial or arguments.classes):
        raise UserError("--spatial and --classes go with a stacked FILE")
    if len(first) != 4 or first[1] % 3 or not 6 <= first[1] <= 3 * _MAX_FRAMES:
        shown = "x".join(map(str, first)) or "missing"
        raise FileError(
            path,
            f"its first convolution is {shown}; MotionNet's reads 3 channels a frame, 2 "
            f"to {_MAX_FRAMES} frames",
        )
    frames = first[1] // 3
    if kind != "stacked":
        return MotionNet(num_frames=frames, variant=kind)

    shapes = [plain_shape(layer.blobs[0].shape, 2) for layer in dense]
    if len(shapes) != 3 or shapes[0][0] != 4096 or shapes[2][1:] != (4096,):
        shown = ", ".join("x".join(map(str, shape)) for shape in shapes) or "missing"
        raise FileError(path, f"its dense layers are {shown}; VGG16 has three of 4096")
    side = round((shapes[0][1] / 512) ** 0.5)
    if not side or 512 * side * side != shapes[0][1]:
        raise FileError(
            path,
            f"its fc6 reads {shapes[0][1]} values, which is not a square image; use "
            "load_caffe_weights in Python",
        )
    builder = _builder(arguments, shapes[2][0], frames, (32 * side, 32 * side))
    builder.motion("motionnet").temporal("vgg16")
    return _with_spatial(builder, arguments).build()


def _bn_inception(arguments, layers):
    """A stream, or with --motion a two-stream model.

    The file does not hold the sides of images, so a stream takes any and a whole model
    the published ones.
    """
    from h2s_keras.models.backbones import build_backbone
    from h2s_keras.models.caffe_weights.layout import CLASSIFIERS, image_channels
    from h2s_keras.models.caffe_weights.slot import plain_shape
    from h2s_keras.models.motion_net_variants import VARIANTS

    path = arguments.file
    dense = [layer for layer in layers if layer.type == "InnerProduct"]
    dense = [layer for layer in dense if layer.name in CLASSIFIERS] or dense
    channels = image_channels(layers)
    if len(dense) != 1 or not channels:
        raise FileError(
            path,
            f"is no BN-Inception with one classifier: it has {len(dense)} dense layers and "
            f"{'a' if channels else 'no'} first convolution",
        )
    shape = plain_shape(dense[0].blobs[0].shape, 2)
    if shape[1:] != (1024,) or channels > 2 * _MAX_FRAMES:
        raise FileError(
            path,
            f"its classifier is {'x'.join(map(str, shape)) or 'one number'} over an image "
            f"of {channels} channels; that of BN-Inception is classes x 1024, over "
            f"{2 * _MAX_FRAMES} channels at most",
        )
    classes = shape[0]
    if not arguments.motion:
        if arguments.spatial or arguments.classes:
            raise UserError(
                "--spatial and --classes make a two-stream model of a BN-Inception FILE "
                "over flow; give it a MotionNet by --motion"
            )
        return build_backbone("bn_inception", (None, None, channels), classes)
    if channels % 2:
        raise FileError(
            path,
            f"reads {channels} channels, which is not flow; give the temporal stream as "
            "FILE and this one as --spatial",
        )
    if arguments.motion in VARIANTS:
        raise UserError(
            f"--motion {arguments.motion} is an untrained network; give a preset or a "
            f".keras file for {channels // 2 + 1} frames"
        )
    builder = _builder(arguments, classes, channels // 2 + 1, _PUBLISHED_SIZE)
    try:
        builder.motion(arguments.motion).temporal("bn_inception")
    except ValueError as error:
        raise UserError(f"--motion {arguments.motion}: {error}") from error
    return _with_spatial(builder, arguments).build()


def _builder(arguments, classes, frames, image_size):
    """A builder for the classes of the file, under the names that --classes gives them."""
    from h2s_keras.models.builder import HiddenTwoStreamBuilder

    if arguments.classes:
        classes = _class_names(arguments.classes, classes)
    try:
        return HiddenTwoStreamBuilder(classes, frames, image_size)
    except ValueError as error:
        raise FileError(arguments.file, str(error)) from error


def _with_spatial(builder, arguments):
    """The builder with the spatial stream that --spatial holds, if there is one."""
    if arguments.spatial:
        _, inception = _layers(arguments.spatial)
        builder.spatial("bn_inception" if inception else "vgg16")
    return builder


def _layers(path):
    """(layers with weights, whether their names are those of BN-Inception)."""
    from h2s_keras.models.caffe_weights.caffe_file import read_caffemodel
    from h2s_keras.models.caffe_weights.layout import bn_inception_sign

    layers = [layer for layer in read_caffemodel(path) if layer.blobs]
    return layers, bn_inception_sign(layers) is not None


def _class_names(path, count):
    from h2s_keras.data.datasets.dataset_list import read_lines

    names = read_lines(path)
    if len(names) != count:
        raise FileError(path, f"has {len(names)} names and the network {count} classes")
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise FileError(path, f"names the class {twice[0]!r} twice")
    return names


def _save(model, out):
    """Writes beside the target and renames, so that no half file is left."""
    folder = os.path.dirname(out) or "."
    os.makedirs(folder, exist_ok=True)
    with whole_file(out, ".keras") as temporary:
        model.save(temporary)
