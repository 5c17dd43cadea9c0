"""Servers of tf.data service as a process that a test can kill.

    python service_process.py both              a dispatcher and its worker
    python service_process.py dispatcher PORT FOLDER
    python service_process.py worker grpc://HOST:PORT

PORT 0 takes any; in FOLDER the dispatcher remembers what it was doing. Prints the
dispatcher's address once all is up, and ends when its input does. A process of their own
for workers too: to stop one whose dispatcher is gone takes TensorFlow hours.
"""

import sys

import tensorflow as tf

service = tf.data.experimental.service
role, *rest = sys.argv[1:]
if role == "worker":
    (target,) = rest
else:
    port, folder = rest or (0, None)
    dispatcher = service.DispatchServer(
        service.DispatcherConfig(
            port=int(port), work_dir=folder, fault_tolerant_mode=folder is not None
        )
    )
    target = dispatcher.target
if role != "dispatcher":
    address = target.partition("://")[2]
    worker = service.WorkerServer(
        service.WorkerConfig(dispatcher_address=address, heartbeat_interval_ms=100)
    )
print(target, flush=True)
sys.stdin.read()
