"""Proof D: a gRPC PredictionService and its REST twin over an exported folder.

    python peer.py DIRECTORY_OF_VERSIONS

Replays the warm-up file, prints one JSON line {"grpc": port, "rest": port, "warmed": count}
and serves until stdin closes. Requests of one signature are joined into batches, filled up
to the sizes of batching.config and split again, as the server does. At the end it
prints how many batches of which size it ran.
"""

import base64
import collections
import concurrent.futures
import http.server
import json
import pathlib
import queue
import re
import sys
import threading

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

DIRECTORY = pathlib.Path(sys.argv[1])
NAME = DIRECTORY.name
NUMBERS = [int(path.name) for path in DIRECTORY.iterdir() if path.name.isdecimal()]
VERSION = DIRECTORY / str(max(NUMBERS))
LOADED = tf.saved_model.load(str(VERSION))
SIZES = [
    int(size)
    for size in re.findall(
        r"allowed_batch_sizes: (\d+)", (DIRECTORY / "batching.config").read_text()
    )
]
RAN = collections.Counter()


class Batcher:
    """Joins requests of one signature; each gets its own rows of the outputs."""

    def __init__(self, signature):
        self.run, self.queue = LOADED.signatures[signature], queue.Queue()
        self.inputs = self.run.structured_input_signature[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def __call__(self, inputs):
        if set(inputs) != set(self.inputs):
            raise ValueError(f"inputs {sorted(inputs)}; expected {sorted(self.inputs)}")
        future = concurrent.futures.Future()
        self.queue.put((inputs, future))
        return future.result(timeout=60)

    def serve(self):
        waiting = None
        while True:
            batch = [waiting or self.queue.get()]
            waiting = None
            rows = rows_of(batch[0])
            while rows < SIZES[-1]:
                try:
                    item = self.queue.get(timeout=0.005)
                except queue.Empty:
                    break
                if rows + rows_of(item) > SIZES[-1] or shape_of(item) != shape_of(batch[0]):
                    waiting = item
                    break
                batch.append(item)
                rows += rows_of(item)
            self.answer(batch, rows)

    def answer(self, batch, rows):
        try:
            (name,) = self.inputs
            joined = np.concatenate([inputs[name] for inputs, _ in batch])
            size = next((size for size in SIZES if size >= rows), rows)
            if 0 < rows < size:
                joined = np.concatenate([joined, joined[:1].repeat(size - rows, axis=0)])
            outputs = self.run(**{name: tf.constant(joined)})
            RAN[len(joined)] += 1
            outputs = {key: value.numpy() for key, value in outputs.items()}
            start = 0
            for inputs, future in batch:
                end = start + len(inputs[name])
                future.set_result({key: v[start:end] for key, v in outputs.items()})
                start = end
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)


def rows_of(item):
    (value,) = item[0].values()
    return len(value) if value.ndim else 1


def shape_of(item):
    (value,) = item[0].values()
    return value.dtype, value.shape[1:]


BATCHERS = {name: Batcher(name) for name in LOADED.signatures}


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def Predict(self, request, context):
        spec = request.model_spec
        if spec.name != NAME:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {spec.name}")
        signature = spec.signature_name or "serving_default"
        if signature not in BATCHERS:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"no signature {signature}")
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        try:
            outputs = BATCHERS[signature](inputs)
        except Exception as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error)[:2000])
        response = predict_pb2.PredictResponse()
        for key, value in outputs.items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return response


class Rest(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        try:
            if self.path != f"/v1/models/{NAME}:predict":
                raise ValueError(f"no such address {self.path}")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            batcher = BATCHERS[body.get("signature_name", "serving_default")]
            ((name, spec),) = batcher.inputs.items()
            rows = [
                row[name] if isinstance(row, dict) and name in row else row
                for row in body["instances"]
            ]
            dtype = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
            outputs = batcher({name: np.array(decoded(rows), dtype)})
            columns = {key: listed(value) for key, value in outputs.items()}
            rows = [
                dict(zip(columns, row, strict=True))
                for row in zip(*columns.values(), strict=True)
            ]
            self.reply(200, {"predictions": rows})
        except Exception as error:
            self.reply(400, {"error": str(error)[:2000]})

    def reply(self, code, value):
        content = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


def decoded(value):
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return [decoded(item) for item in value] if isinstance(value, list) else value


def listed(array):
    value = array.tolist()
    return (
        [[text.decode() for text in row] for row in value]
        if array.dtype == object
        else value
    )


def replay_warmup():
    count = 0
    path = VERSION / "assets.extra" / "tf_serving_warmup_requests"
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        BATCHERS[request.model_spec.signature_name](inputs)
        count += 1
    return count


def main():
    warmed = replay_warmup()
    RAN.clear()
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(8),
        options=[("grpc.max_receive_message_length", -1)],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Predictions(), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    print(
        json.dumps({"grpc": port, "rest": rest.server_port, "warmed": warmed}), flush=True
    )
    sys.stdin.read()
    server.stop(0)
    print(json.dumps({"ran": dict(RAN)}), flush=True)


if __name__ == "__main__":
    main()
