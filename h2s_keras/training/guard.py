import keras
from absl import logging

from h2s_keras.errors import UserError
from h2s_keras.training.callbacks import bad_batch, weights_are_finite


class NonFiniteGuard(keras.callbacks.Callback):
    """Goes back to the last good state when the loss or a gradient is no longer finite.

    `StageUpdates` stops all updates at the first bad batch; this callback looks every few
    batches whether it did, has the cause explained, goes back to the last saved state and
    halves the step, also for runs that resume later.

    Args:
        stage: name of the stage, for messages.
        go_back: function without arguments that restores the last good state and returns
            its batch number.
        explain: function (batch number or None) -> text that says what was not finite.
        patience: times that training may go back before it ends.
        check_every: batches between two looks.

    Raises:
        UserError: the patience is at an end; the text names the first bad tensor or loss
            term, the batch and its clips.
    """

    def __init__(self, stage, go_back, explain, patience=3, check_every=10):
        super().__init__()
        self.stage, self.go_back, self.explain = stage, go_back, explain
        self.patience, self.check_every = patience, check_every

    def on_train_batch_end(self, batch, logs=None):
        if (batch + 1) % self.check_every == 0 and bad_batch(self.model) >= 0:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        bad = bad_batch(self.model)
        if bad < 0 and weights_are_finite(self.model):
            return
        model = self.model
        reason = self.explain(bad if bad >= 0 else None)
        count = int(keras.ops.convert_to_numpy(model.halvings)) + 1
        if count > self.patience:
            raise UserError(
                f"stage {self.stage!r}: {reason}; went back {self.patience} times with "
                "half the step each time, without success: lower the learning rate, or "
                "raise the warm-up of this stage"
            )
        step = self.go_back()
        model.halvings.assign(count)
        model.optimizer.rate_scale.assign(0.5**count)
        # The data must go back, too.
        model.stop_training = True
        logging.warning(
            "stage %r: %s; went back to batch %d and halved the step (%d of %d times)",
            self.stage,
            reason,
            step,
            count,
            self.patience,
        )
