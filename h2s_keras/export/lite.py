"""MotionNet and the temporal stream as one LiteRT (TFLite) file for small devices."""

import keras
import numpy as np

from h2s_keras.errors import FileError, UserError
from h2s_keras.export.exported_file import write_facts
from h2s_keras.export.inference import inference_network
from h2s_keras.files import new_file, write_file
from h2s_keras.ops.flow import flow_to_channels

PRECISIONS = ("float32", "dynamic", "int8")


def export_lite(
    model, path, precision="float32", calibration=None, batch_size=1, classes=None
):
    """Exports motion and temporal stream as a LiteRT file of built-in operations.

    The file takes `clips` uint8 (batch_size, T, H, W, 3) RGB and gives `logits` float32
    (batch_size, classes) of the temporal stream and `flow` float32 (batch_size, H/2, W/2,
    T-1, 2), pixels of full resolution. A spatial stream is left out.

    Args:
        model: built HiddenTwoStream, as for `export_saved_model`.
        path: path of the new file, ending in .tflite; `path.json` beside it gets the
            classes and how frames are taken.
        precision: "float32"; "dynamic": weights of 8 bits, computed in float32; "int8":
            weights and activations of 8 bits, with ranges measured on `calibration`.
        calibration: for "int8", an iterable of uint8 clips (T, H, W, 3), about 100 of
            them from training data.
        batch_size: fixed in the file.
        classes: names in the order of the logits; by default the model's own.

    Returns:
        Size of the file in bytes.

    Raises:
        UserError: wrong precision, path or calibration clips, or a backbone with layers
            that LiteRT does not have.

    Example:
        >>> count = export_lite(model, "jump.tflite", "int8", calibration=clips)
        >>> os.path.getsize("jump.tflite") == count
        True
    """
    if precision not in PRECISIONS:
        raise UserError(
            f"precision must be one of {', '.join(PRECISIONS)}; received {precision!r}"
        )
    path = new_file(path, ".tflite")
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            "a LiteRT file is made on the backend TensorFlow; set KERAS_BACKEND"
        )
    network, _ = inference_network(model)
    shape = (network.num_frames, *network.image_size, 3)
    if precision == "int8":
        calibration = _checked_clips(calibration, shape)
    content = _convert(network, (batch_size, *shape), precision, calibration)
    write_file(path, content, FileError)
    write_facts(path, network, classes)
    return len(content)


def _convert(network, shape, precision, calibration):
    import tensorflow as tf

    from h2s_keras.export.signatures import full_size_flow

    def run(clips):
        if network.branched:
            features = network.motion.encode(clips)
            flow, source = network.motion.decode(features)["flow2"], features[-1]
        else:
            flow = network.motion(clips, training=False)["flow2"]
            source = _adapted(network.adapter, flow)
        logits = network.temporal(source, training=False)
        return {"logits": tf.identity(logits), "flow": full_size_flow(network, flow)}

    module = tf.Module()
    module.weights = [weight.value for weight in network.weights]
    module.run = tf.function(
        run, input_signature=[tf.TensorSpec(shape, tf.uint8, name="clips")]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.run.get_concrete_function()], module
    )
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "int8":

        def batches():
            for clip in calibration:
                yield {"clips": np.repeat(clip[None], shape[0], axis=0)}

        converter.representative_dataset = batches
    try:
        return converter.convert()
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"this network cannot become a LiteRT file ({reason})") from error


def _adapted(adapter, flow):
    """`adapter(flow)` in an order of operations that survives int8.

    As the layer writes it (shift to 0..255, matrix products to enlarge, shift back), the
    converter quantizes the shifts so badly that the temporal stream falls to chance.
    """
    import tensorflow as tf

    bound, levels = float(adapter.bound), adapter.levels
    values = flow_to_channels(adapter.rescale(flow))
    values = tf.clip_by_value(values, -bound, bound) * (127.5 / bound)
    if levels is not None:
        step = 255.0 / (levels - 1)
        values = tf.round((values + 127.5) / step) * step - 127.5
    if not adapter.enlarge:
        return values + (127.5 - adapter.centre)
    scale, ring = adapter.scale, adapter.padding == "zeros" and adapter.scale > 1
    if ring:
        around = ((0, 0), (1, 1), (1, 1), (0, 0))
        values = tf.pad(values, around, constant_values=-127.5)
    size = [scale * side for side in values.shape[1:3]]
    # Only enlarged, so that this equals the triangle filter of the layer.
    values = tf.image.resize(values, size, "bilinear") + (127.5 - adapter.centre)
    return values[:, scale:-scale, scale:-scale] if ring else values


def _checked_clips(calibration, shape):
    if calibration is None:
        raise UserError(
            "precision 'int8' measures ranges on real clips; pass calibration=[...] with "
            f"about 100 uint8 clips {shape}"
        )
    clips = []
    for clip in calibration:
        clip = np.asarray(clip)
        if clip.shape != shape or clip.dtype != np.uint8:
            raise UserError(
                f"calibration takes uint8 clips {shape}; received {clip.dtype} {clip.shape}"
            )
        clips.append(clip)
    if not clips:
        raise UserError("calibration holds no clip; pass about 100")
    return clips
