"""The README of a folder of exported versions: commands of the server and clients."""

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

{frames} frames of a video as JPEG{stride}, then the request:

```bash
ffmpeg -i video.mp4 -vf "{rate}select=not(mod(n\\,{step}))" -fps_mode vfr -frames:v {frames} -q:v 2 frame%02d.jpg
```

```bash
{{ printf '{{"signature_name": "predict_jpeg", "instances": [['
  comma=""
  for frame in frame*.jpg; do
    printf '%s{{"b64": "%s"}}' "$comma" "$(base64 < "$frame" | tr -d '\\n')"; comma=","
  done
  printf ']]}}'; }} > request.json
curl -s -d @request.json http://localhost:8501/v1/models/{name}:predict
```

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
frames = [open(name, "rb").read() for name in sorted(glob.glob("frame*.jpg"))]
request.inputs["frames_bytes"].CopyFrom(tf.make_tensor_proto([frames]))
answer = service.Predict(request, timeout=60)
names, scores = (tf.make_ndarray(answer.outputs[key])[0] for key in ("classes", "scores"))
for name, score in zip(names, scores):
    print(f"{{score:6.1%}}  {{name.decode()}}")

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
    flow = facts["signatures"]["motion"]["outputs"]["flow"]["shape"]
    stride = facts["frame_stride"]
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
        rate="" if facts.get("frame_rate") is None else f"fps={facts['frame_rate']:g},",
        top_k=facts["top_k"],
        half_height=flow[1],
        half_width=flow[2],
        pairs=frames - 1,
        megabytes=frames * height * width * 3 / 1e6,
    )
