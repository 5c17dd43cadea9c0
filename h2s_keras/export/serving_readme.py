"""The README of a folder of exported versions: commands of the server and clients."""

import json

from h2s_keras.data.clips.sampling import CLIPS_PER_VIDEO, clip_span

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
