import csv
import os

import keras

from h2s_keras.files import whole_file

_HEADER = ["stage", "step", "seconds", "term", "value"]


class CsvLog(keras.callbacks.Callback):
    """Appends rows an epoch: stage, batches done, seconds, and every figure.

    Args:
        path: of the file, made when needed.
        stage: its name.
        position: object with the attribute `step`, the batches done.
        clock: function without arguments, the seconds that the stage has trained.
    """

    def __init__(self, path, stage, position, clock):
        super().__init__()
        self.path, self.stage = path, stage
        self.position, self.clock = position, clock

    def on_epoch_end(self, epoch, logs=None):
        rows = [
            (self.stage, self.position.step, f"{self.clock():.1f}", name, f"{value:.6g}")
            for name, value in (logs or {}).items()
        ]
        new = not os.path.exists(self.path)
        with open(self.path, "a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(_HEADER)
            writer.writerows(rows)


def cut_log(path, stages, index, step):
    """Drops the rows of a log that a run, going on from a state, will write again.

    They are there where the run was cut, or the disk full, between the log and the state.

    Args:
        path: of the file; nothing is done where there is none.
        stages: names of all stages, in order.
        index, step: stage and batches done of the state that the run goes on from.
    """
    if not os.path.exists(path):
        return
    places = {name: place for place, name in enumerate(stages)}

    def stays(row):
        if row == _HEADER:
            return True
        # The last row may be half a row.
        if len(row) < len(_HEADER) or not row[1].isdigit():
            return False
        return (places.get(row[0], -1), int(row[1])) <= (index, step)

    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    kept = [row for row in rows if stays(row)]
    if kept == rows:
        return
    with whole_file(path) as temporary, open(temporary, "w", newline="") as file:
        csv.writer(file).writerows(kept)
