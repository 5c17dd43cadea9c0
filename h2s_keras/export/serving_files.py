"""The small files around a SavedModel: h2s.json, batching, models and its README."""

import json
import os
import re
import warnings

from h2s_keras.data.clips.sampling import CLIPS_PER_VIDEO, clip_span
from h2s_keras.errors import FileError, ServerFilesWarning
from h2s_keras.files import sha256_of, write_file
from h2s_keras.version import __version__

DESCRIPTION_FILE = os.path.join("assets.extra", "h2s.json")


def file_digests(folder):
    """sha256 of the graph and of the weights: dict of name in `folder` -> hex digits."""
    names = ["saved_model.pb"]
    weights = os.path.join(folder, "variables")
    if os.path.isdir(weights):
        names += [os.path.join("variables", name) for name in sorted(os.listdir(weights))]
    return {name: sha256_of(os.path.join(folder, name)) for name in names}


def write_description(folder, facts, signatures):
    """Writes assets.extra/h2s.json: what the model is, for people and programs.

    Args:
        folder: folder of the version, with its SavedModel.
        facts: dict of plain values: name, classes, num_frames, image_size and so on.
        signatures: dict of name -> concrete function.

    Returns:
        The dict that was written.
    """
    import keras
    import tensorflow as tf

    record = {
        "format": 1,
        **facts,
        "signatures": {
            name: {
                "inputs": {key: _spec(value) for key, value in _inputs(function)},
                "outputs": {
                    key: _spec(value)
                    for key, value in sorted(function.structured_outputs.items())
                },
            }
            for name, function in signatures.items()
        },
        "sha256": file_digests(folder),
        "written_by": {
            "h2s_keras": __version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }
    with open(os.path.join(folder, DESCRIPTION_FILE), "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2, ensure_ascii=False)
        file.write("\n")
    return record


def _inputs(function):
    return sorted(function.structured_input_signature[1].items()) or [
        (spec.name, spec) for spec in function.structured_input_signature[0]
    ]


def _spec(value):
    return {"dtype": value.dtype.name, "shape": list(value.shape)}


def write_server_files(directory, version_folder):
    """Writes README.md, batching.config and models.config beside the versions.

    README.md always describes the newest version. The two configurations are left alone
    where they exist, since they are there to be tuned.

    Args:
        directory: directory of the versions.
        version_folder: with its h2s.json.

    Warns:
        ServerFilesWarning: a configuration that is kept is of other batch sizes or of
            another name than this version.
    """
    with open(os.path.join(version_folder, DESCRIPTION_FILE), encoding="utf-8") as file:
        facts = json.load(file)
    files = {
        "batching.config": batching_config(facts["batch_sizes"]),
        "models.config": models_config(facts["name"]),
        "README.md": readme(facts),
    }
    for name, text in files.items():
        path = os.path.join(directory, name)
        if name == "README.md" or not os.path.exists(path):
            write_file(path, text.encode(), FileError)
            continue
        kept, wanted = _facts_of(_read(path)), _facts_of(text)
        if kept and kept != wanted:
            warnings.warn(
                f"{path}: is kept as it is and says {kept}, this version {wanted}; edit "
                "it, or delete it and export again",
                ServerFilesWarning,
                stacklevel=2,
            )


# What a server and its warm-up must agree on, in either configuration.
_FACTS = re.compile(r'^\s*(allowed_batch_sizes|name|base_path)\s*:\s*"?([^"\s#]+)', re.M)


def _facts_of(text):
    return " ".join(f"{name}: {value}" for name, value in _FACTS.findall(text))


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def batching_config(batch_sizes):
    """BatchingParameters in text form for --batching_parameters_file."""
    lines = [
        f"max_batch_size {{ value: {batch_sizes[-1]} }}",
        "batch_timeout_micros { value: 5000 }  # wait so long for more requests",
        "max_enqueued_batches { value: 100 }",
        "# one thread a core of a CPU server; about 2 for each GPU",
        "num_batch_threads { value: 4 }",
        "# batches are filled up to one of these, which the warm-up has run",
        *(f"allowed_batch_sizes: {size}" for size in batch_sizes),
    ]
    return "\n".join(lines) + "\n"


def models_config(name):
    """ModelServerConfig in text form for --model_config_file."""
    return f"""model_config_list {{
  config {{
    name: "{name}"
    base_path: "/models/{name}"
    model_platform: "tensorflow"
    # the newest two versions are served, so that a client may pin the older one
    model_version_policy {{ latest {{ num_versions: 2 }} }}
  }}
}}
"""


_TEXT = """# {name}: action recognition for TensorFlow Serving

Version {model_version}, written by h2s_keras {library}. {count} classes; a clip is {frames}
RGB frames of {height} x {width} pixels (height x width){stride}. Class names are part of
the model; `assets.extra/h2s.json` of a version lists them with the sha256 of its files.

| signature | input | output |
|---|---|---|
| `serving_default` | `clips` uint8 (batch, {frames}, {height}, {width}, 3) | `probabilities`, `logits` float32 (batch, {count}); `classes` string, `scores` float32 (batch, {top_k}), best first |
| `predict_jpeg` | `frames_bytes` string (batch, {frames}), JPEG files of any size | the same |
| `motion` | `clips` uint8, as above | `flow` float32 (batch, {half_height}, {half_width}, {pairs}, 2): x right, y down, pixels of full resolution |

## Server

In this folder:

```bash
docker run --rm -p 8500:8500 -p 8501:8501 -v "$PWD:/models/{name}" tensorflow/serving \\
    --model_config_file=/models/{name}/models.config --enable_batching=true \\
    --batching_parameters_file=/models/{name}/batching.config
```

A new version in this folder is loaded, warmed up and served without a restart. Folders
`.exporting-...` are left by an export that was killed; delete them.

## REST (port 8501)

The frames of a video as JPEG, then a request for its first clip of {frames} frames{stride}:

```bash
ffmpeg -i video.mp4 {rate}-fps_mode passthrough -q:v 2 frame%05d.jpg
```

```bash
frames=(frame*.jpg)
{{ printf '{{"signature_name": "predict_jpeg", "instances": [['
  comma=""
  for n in $(seq 0 {step} {last}); do
    frame=${{frames[n % ${{#frames[@]}}]}}
    printf '%s{{"b64": "%s"}}' "$comma" "$(base64 < "$frame" | tr -d '\\n')"; comma=","
  done
  printf ']]}}'; }} > request.json
curl -s -d @request.json http://localhost:8501/v1/models/{name}:predict
```

The answer for a video is the softmax of the mean of `logits` over {clips} evenly spaced
clips; `h2s train`, `h2s evaluate` and `h2s predict` use the same clips, and so does the
client below.

## gRPC (port 8500)

`pip install tensorflow-serving-api`; one clip is {megabytes:.2f} MB as uint8 and far less as
JPEG, so prefer gRPC or JPEG to `clips` in JSON.

```python
import glob

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

# By default a client refuses answers above 4 MB, which flow of a batch can be.
options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
channel = grpc.insecure_channel("localhost:8500", options)
service = prediction_service_pb2_grpc.PredictionServiceStub(channel)

request = predict_pb2.PredictRequest()
request.model_spec.name = "{name}"
request.model_spec.signature_name = "predict_jpeg"
names = {classes}
files = sorted(glob.glob("frame*.jpg"))
places = max(0, len(files) - {span}) + 1  # where a clip may begin
step, logits = places // {clips}, 0
for number in range({clips}):
    start = number * step if step else number * places // {clips}
    clip = [files[{index}] for n in range({frames})]
    jpegs = [open(name, "rb").read() for name in clip]
    request.inputs["frames_bytes"].CopyFrom(tf.make_tensor_proto([jpegs]))
    answer = service.Predict(request, timeout=60)
    logits = logits + tf.make_ndarray(answer.outputs["logits"])[0] / {clips}
scores = tf.nn.softmax(logits).numpy()
for best in np.argsort(-scores, kind="stable")[:{top_k}]:
    print(f"{{scores[best]:6.1%}}  {{names[best]}}")

request.model_spec.signature_name = "serving_default"  # the same with uint8 clips
del request.inputs["frames_bytes"]
clips = np.zeros((1, {frames}, {height}, {width}, 3), "uint8")
request.inputs["clips"].CopyFrom(tf.make_tensor_proto(clips))
answer = service.Predict(request, timeout=60)
```

## Without a server

```python
import h2s_keras

classifier = h2s_keras.VideoClassifier.from_saved(".")
print(classifier.predict("video.mp4"))
```
"""  # noqa: E501


def readme(facts):
    """Text of README.md from the dict of h2s.json."""
    frames, (height, width) = facts["num_frames"], facts["image_size"]
    rate = facts.get("frame_rate")
    flow = facts["signatures"]["motion"]["outputs"]["flow"]["shape"]
    stride = facts["frame_stride"]
    # An export of an earlier version does not say.
    protocol = facts.get("test_protocol") or {}
    index = f"(start + {stride} * n) % len(files)"
    if protocol.get("short") == "hold":
        index = f"min(start + {stride} * n, len(files) - 1)"
    return _TEXT.format(
        name=facts["name"],
        model_version=facts["model_version"],
        library=facts["written_by"]["h2s_keras"],
        count=len(facts["classes"]),
        frames=frames,
        height=height,
        width=width,
        stride="" if stride == 1 else f", {stride} frames of the video apart",
        step=stride,
        last=clip_span(frames, stride) - 1,
        span=clip_span(frames, stride),
        clips=protocol.get("clips", CLIPS_PER_VIDEO),
        index=index,
        classes=json.dumps(facts["classes"], ensure_ascii=False),
        rate="" if rate is None else f"-vf fps={rate:g} ",
        top_k=facts["top_k"],
        half_height=flow[1],
        half_width=flow[2],
        pairs=frames - 1,
        megabytes=frames * height * width * 3 / 1e6,
    )
