"""TensorFlow Addons' dense_image_warp, in an environment of its own (see `tox -e tfa`)."""

import json
import os
import sys

from serve import serve


def main(options):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    try:
        import tensorflow as tf
        from tensorflow_addons.image import dense_image_warp
    except ImportError as error:
        return serve({}, {"tensorflow-addons": str(error)})
    from inputs import WARP_KINDS, warp_inputs

    tf.config.threading.set_intra_op_parallelism_threads(options["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(options["threads"])
    image, flow, upstream = map(tf.constant, warp_inputs(options["shape"]))
    # Its flow is (dy, dx) and points the other way.
    flow = -flow[..., ::-1]

    def make(of, compiled):
        @tf.function(jit_compile=compiled)
        def step(image, flow, upstream):
            inputs = (image, flow)
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                result = dense_image_warp(*inputs)
            if not of:
                return result, ()
            wanted = [inputs[index] for index in of]
            return result, tape.gradient(result, wanted, output_gradients=upstream)

        return lambda: step(image, flow, upstream)[0]

    runs = {
        f"{name}: {kind}": make(of, compiled)
        for name, compiled in (("TFA", False), ("TFA under XLA", True))
        for kind, of in WARP_KINDS.items()
    }
    return serve(runs)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
