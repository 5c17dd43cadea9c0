"""Training on a folder of the user's own videos, from Python."""

import os

from h2s_keras.errors import UserError
from h2s_keras.options import DataOptions, run_options
from h2s_keras.recipes import videos as recipe
from h2s_keras.training.groups import trainer


def train_videos(source, out, minutes=None, progress=None, **data):
    """Trains on videos sorted by class, as `h2s train videos` does.

    Args:
        source: folder with a folder of videos for each class, or a CSV file with the
            columns path and class.
        out: run folder, new or empty; it gets the model, the figures and a report.
        minutes: time that the run may take on two cores, about; None for the recipe's 30.
        progress: object that shows progress, see `h2s_keras.training.train`.
        **data: options of the data, such as `group_pattern` or `validation`.

    Returns:
        dict of results: "final" (accuracies by stream), "intervals", "advice", "test" (how
        they were measured).

    Raises:
        UserError: the videos cannot be used, or the folder holds something already.

    Example:

    ```python
    results = h2s_keras.train_videos("my_videos", out="runs/mine")
    classifier = h2s_keras.VideoClassifier.from_saved("runs/mine")
    print(classifier.predict("new.mp4"))
    ```
    """
    source = os.fspath(source)
    if not os.path.exists(source):
        raise UserError(f"{source}: no such folder or file; give one with videos by class")
    config = recipe.get_config()
    named = {"csv" if os.path.isfile(source) else "root": source}
    config.data = DataOptions.of({**vars(config.data), **named, **data})
    config = run_options(config)
    if minutes is not None:
        config.scale_steps(minutes)
    return trainer(config)(config, out, progress=progress)["results"]
