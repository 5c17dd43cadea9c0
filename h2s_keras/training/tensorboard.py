import keras
import numpy as np

from h2s_keras.models.motion_net import motion_net_of
from h2s_keras.visualization import motion_panel


class TensorBoardLog(keras.callbacks.Callback):
    """Writes what `tensorboard --logdir RUN/tensorboard` shows of a stage.

    Scalars of every figure an epoch; for stages that run MotionNet also pictures (frames,
    flow, warped frame, error) of a few clips that stay the same, and a histogram of the
    lengths of their flow in pixels. TensorFlow writes the files on every backend; the
    package tensorboard is needed to look at them only.

    Args:
        folder: of the event files; made when needed.
        position: object with the attribute `step`, the batches done.
        sample_clips: function without arguments that gives uint8 clips (batch, time,
            height, width, 3) for the pictures, or None.
        clips_shown: pictures at most.
    """

    def __init__(self, folder, position, sample_clips=None, clips_shown=2):
        super().__init__()
        self.folder, self.position = folder, position
        self.sample_clips, self.clips_shown = sample_clips, clips_shown
        self._writer = self._clips = None
        self._resumed = position.step

    def on_epoch_end(self, epoch, logs=None):
        import tensorflow as tf

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self.folder)
        # These operations come with TensorFlow; tf.summary.scalar wants tensorboard.
        writer, step = self._writer._resource, self.position.step
        if self._resumed:
            # TensorBoard drops what a run that was cut had written beyond its state.
            start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
            event = tf.compat.v1.Event(step=self._resumed + 1, session_log=start)
            tf.raw_ops.ImportEvent(writer=writer, event=event.SerializeToString())
            self._resumed = 0
        for name, value in (logs or {}).items():
            tf.raw_ops.WriteScalarSummary(
                writer=writer, step=step, tag=name, value=np.float32(value)
            )
        if self.sample_clips is not None and hasattr(self.model, "streams"):
            self._write_motion(tf, writer, step)
        self._writer.flush()

    def _write_motion(self, tf, writer, step):
        motion = motion_net_of(self.model.network)
        if motion is None or self.model.streams == ("spatial",):
            return
        if self._clips is None:
            clips = np.asarray(self.sample_clips())
            clips = clips.reshape(-1, *clips.shape[-4:])
            self._clips = clips[: self.clips_shown]
        if self._clips.shape[1] != motion.num_frames:
            return  # A stage on pairs of frames, for a network of longer clips.
        flows = motion.estimate_flow(self._clips)
        lengths = np.sqrt(np.sum(np.square(flows), axis=-1, dtype="float32"))
        if not np.isfinite(lengths).all():
            return  # The guard tells of it.
        tf.raw_ops.WriteHistogramSummary(
            writer=writer, step=step, tag="flow length in pixels", values=lengths.ravel()
        )
        for number, (clip, flow) in enumerate(zip(self._clips, flows, strict=True)):
            scale = max(1, 128 // clip.shape[1])
            panel = motion_panel(clip, None, flow, scale=scale)
            tf.raw_ops.WriteImageSummary(
                writer=writer,
                step=step,
                tag=f"motion of clip {number}",
                tensor=panel[None],
                bad_color=np.array([255, 0, 0, 255], "uint8"),
                max_images=1,
            )
