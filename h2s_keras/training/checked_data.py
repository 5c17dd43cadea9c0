"""Looks at labels and clips on their way into `fit` and `evaluate`, on the host."""

import contextlib
import sys
import types

import keras
import numpy as np

from h2s_keras.ops.class_labels import check_label_shape, check_labels, is_one_hot
from h2s_keras.ops.clip_range import (
    is_unit_range,
    report_unit_range,
    warn_unit_range,
)


class DataChecks:
    """Checks of one call of `fit` or `evaluate`; nothing of it runs in the compiled step.

    Arrays are checked whole before the first step, what comes in batches on its way.
    Labels outside the classes end the run, clips scaled to 0..1 are worth a warning.

    Args:
        num_classes: of the network, or None where the targets are not labels.
        entrance: what the user called, for the warning.
    """

    def __init__(self, num_classes, entrance):
        self.num_classes, self.entrance = num_classes, entrance
        self.found = []

    @contextlib.contextmanager
    def raised_plainly(self):
        """What was found inside of `tf.data` is raised without a graph's trace."""
        try:
            yield
        except Exception:
            if self.found:
                raise self.found[0] from None
            raise

    def arrays(self, clips, labels):
        """Checks arrays or tensors at once."""
        warn_unit_range(clips, self.entrance)
        if self.num_classes is not None and labels is not None:
            labels = keras.tree.map_structure(_numpy, labels)
            check_labels(labels, self.num_classes)

    def batch(self, batch):
        """Checks (clips, labels, ...) as a generator or a PyDataset gives them."""
        clips, labels, _ = keras.utils.unpack_x_y_sample_weight(batch)
        self.arrays(clips, labels)

    def data(self, clips, labels=None):
        """`clips` as `fit` takes them: checked now, or wrapped so that each batch is.

        Data sets of other libraries come back as they are: a label outside the classes
        then makes the loss NaN.
        """
        if isinstance(clips, keras.utils.PyDataset):
            return CheckedDataset(clips, self)
        if isinstance(clips, types.GeneratorType):
            return self._generated(clips)
        # Whoever has a tf.data.Dataset has imported TensorFlow.
        tf = sys.modules.get("tensorflow")
        if tf is not None and isinstance(clips, tf.data.Dataset):
            return self._mapped(clips)
        if hasattr(clips, "shape") or isinstance(clips, list):
            self.arrays(clips, labels)
        return clips

    def _generated(self, batches):
        for batch in batches:
            self.batch(batch)
            yield batch

    def _mapped(self, dataset):
        import tensorflow as tf

        spec = dataset.element_spec
        parts = spec if isinstance(spec, tuple) else (spec,)
        clips = parts[0]
        labels = parts[1] if len(parts) > 1 and self.num_classes is not None else None
        if isinstance(labels, tf.TensorSpec):

            def checked(*parts):
                wrong = _wrong(tf, parts[1], self.num_classes)
                # Python is called for labels that are wrong, and for no others.
                call = lambda: tf.numpy_function(self._refuse, [parts[1]], tf.bool)  # noqa: E731
                fine = tf.cond(wrong, call, lambda: True)
                with tf.control_dependencies([fine]):
                    return (parts[0], tf.identity(parts[1]), *parts[2:])

            dataset = dataset.map(checked)
        if isinstance(clips, tf.TensorSpec) and clips.dtype.is_floating:

            def looked_at(number, part):
                clips = part[0] if isinstance(part, tuple) else part
                call = lambda: tf.numpy_function(self._look, [clips], tf.bool)  # noqa: E731
                seen = tf.cond(tf.equal(number, 0), call, lambda: True)
                with tf.control_dependencies([seen]):
                    clips = tf.identity(clips)
                return (clips, *part[1:]) if isinstance(part, tuple) else clips

            dataset = dataset.enumerate().map(looked_at)
        return dataset

    def _refuse(self, labels):
        try:
            check_labels(labels, self.num_classes)
        except ValueError as error:
            self.found.append(error)
            raise
        return np.True_

    def _look(self, clips):
        if is_unit_range(clips):
            report_unit_range(self.entrance)
        return np.True_


def _numpy(values):
    return (
        values if isinstance(values, (int, float)) else keras.ops.convert_to_numpy(values)
    )


def _wrong(tf, labels, num_classes):
    """Whether some label of a batch in `tf.data` names no class: scalar bool tensor."""
    if labels.shape.rank is None:
        return tf.constant(True)  # Python says what it is.
    check_label_shape(labels.shape, num_classes)
    if is_one_hot(labels.shape):
        rows = tf.cast(labels, tf.float32)
        off = tf.abs(tf.reduce_sum(rows, axis=1) - 1.0) > 1e-3
        return tf.reduce_any(off) | tf.reduce_any(rows < 0)
    if labels.dtype.is_floating:
        labels = tf.where(labels == tf.floor(labels), labels, -tf.ones_like(labels))
    labels = tf.cast(labels, tf.float64)
    return tf.reduce_any((labels < 0) | (labels >= num_classes))


class CheckedDataset(keras.utils.PyDataset):
    """A PyDataset whose batches pass `DataChecks` on their way."""

    def __init__(self, inner, checks):
        super().__init__(inner.workers, inner.use_multiprocessing, inner.max_queue_size)
        self.inner, self.checks = inner, checks

    def __getitem__(self, index):
        batch = self.inner[index]
        self.checks.batch(batch)
        return batch

    @property
    def num_batches(self):
        return self.inner.num_batches

    def on_epoch_begin(self):
        self.inner.on_epoch_begin()

    def on_epoch_end(self):
        self.inner.on_epoch_end()
