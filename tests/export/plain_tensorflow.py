"""Proof B: tf.saved_model.load where importing keras or h2s_keras raises.

    python plain_tensorflow.py FOLDER INPUTS.npz OUT.npz

INPUTS.npz holds uint8 clips "1", "2", ...; OUT.npz gets "SIGNATURE/OUTPUT/NAME".
"""

import importlib.machinery
import json
import sys


class Refuse:
    """Raises on the import of what a served model must not need."""

    def find_spec(self, name, path=None, target=None):
        # TensorFlow looks for keras when it starts and tries it; it gets an ImportError.
        if name.split(".")[0] in ("keras", "tf_keras", "h2s_keras"):
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        raise ImportError(f"{spec.name} must not be needed")

    def exec_module(self, module):
        raise ImportError(f"{module.__name__} must not be needed")


sys.meta_path.insert(0, Refuse())

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

folder, inputs, out = sys.argv[1:]
loaded = tf.saved_model.load(folder)
results = {}
for name, clips in np.load(inputs).items():
    for signature in ("serving_default", "motion"):
        outputs = loaded.signatures[signature](clips=tf.constant(clips))
        for key, value in outputs.items():
            array = value.numpy()
            if array.dtype == object:
                array = np.array([[text.decode() for text in row] for row in array])
            results[f"{signature}/{key}/{name}"] = array
np.savez(out, **results)
try:
    import keras  # noqa: F401
except ImportError:
    pass
else:
    raise AssertionError("keras could be imported, so that this proves nothing")
print(json.dumps(sorted(loaded.signatures)))
