import contextlib
import threading

from h2s_keras.errors import UserError


class ClipReport:
    """What went wrong while clips were read; filled as a data set is consumed.

    Attributes:
        bad_files: dict of path to reason, each bad file once.
        replaced: number of clips taken from another video, or left out, on account of
            a bad file.
        error: the `UserError` that stopped the data set, or None.

    Example:

    ```python
    report = ClipReport()
    dataset = video_clip_dataset(examples, 11, on_bad_file="skip", report=report)
    with report.user_errors():
        for clips, labels in dataset.take(2):
            print(clips.shape)
    print(report.summary())
    ```
    """

    def __init__(self):
        self.bad_files = {}
        self.replaced = 0
        self.error = None
        self._lock = threading.Lock()

    def add(self, error):
        """Notes a bad file by its `VideoError`."""
        with self._lock:
            self.bad_files.setdefault(error.path, error.reason)

    def add_replaced(self, clips=1):
        """Counts clips that a bad file could not give."""
        with self._lock:
            self.replaced += clips

    def summary(self):
        """One line a bad file after a line of counts."""
        lines = [
            f"{len(self.bad_files)} bad files, {self.replaced} clips replaced or left out"
        ]
        lines += [f"{path}: {reason}" for path, reason in sorted(self.bad_files.items())]
        return "\n".join(lines)

    def explain(self, error):
        """The `UserError` that an error stands for, or None: it is not of a data set.

        Data sets read ahead: `self.error` may be that of a clip which nobody came to.
        """
        import tensorflow as tf

        if isinstance(error, UserError):
            return error
        of_data = isinstance(error, tf.errors.OpError) and "IteratorGetNext" in str(error)
        return self.error if of_data else None

    @contextlib.contextmanager
    def user_errors(self):
        """Raises the `UserError` itself where tf.data wrapped it in a traceback."""
        try:
            yield self
        except Exception as error:
            explained = self.explain(error)
            if explained is None:
                raise
            raise explained from None
