import numpy as np

from h2s_keras.data.clips.crops import centre_crop_box, crop_frames
from h2s_keras.data.clips.sampling import ClipSampling, check_moves
from h2s_keras.data.clips.video_clips import frame_size
from h2s_keras.data.video.frame_source import FrameSource
from h2s_keras.data.video.frame_times import NotedTimes
from h2s_keras.errors import UserError
from h2s_keras.evaluation.protocol import Protocol
from h2s_keras.evaluation.statistics import check_finite, log_softmax
from h2s_keras.models.stored_flow import StoredFlowStream
from h2s_keras.runtimes.in_runtime import in_runtime


class VideoClassifier:
    """Names the action in video files with a trained two-stream model.

    Args:
        model: HiddenTwoStream with `class_names`, a SavedNetwork or an ExportedFile.
        clips_per_video: evenly spaced clips whose log-probabilities are averaged; None for
            as many as the run that trained the model measured with.
        batch_size: clips computed at a time.
        runtime: what computes the network, see `h2s_keras.runtimes.in_runtime.in_runtime`.
        rate: frames per second to read videos at; by default what the model was trained at.
            Folders of frames have no time stamps and are taken as they are.

    Raises:
        UserError: if the model does not know its class names or reads no video, or the
            runtime cannot be used.

    Example:
        >>> classifier = VideoClassifier.from_saved("runs/gestures/model.keras")
        >>> classifier.predict("video.mp4", top_k=2)
        [{'class': '...', 'score': 0...}, {'class': '...', 'score': 0...}]
    """

    def __init__(
        self, model, clips_per_video=None, batch_size=4, runtime="keras", rate=None
    ):
        if not hasattr(model, "class_names"):
            raise UserError(
                f"a {type(model).__name__} knows motion, not names of actions; give a "
                "two-stream model"
            )
        if isinstance(model, StoredFlowStream):
            raise UserError(
                "this model reads stored flow, not video: how well it does stands in the "
                "results.json of its run; give a two-stream model"
            )
        if getattr(model, "multi_label", False):
            raise UserError(
                "this model scores behaviours frame by frame; use h2s ethogram predict"
            )
        names = model.class_names
        if names is None:
            raise UserError(
                "this model has no class names; build it with a list of names instead of "
                "num_classes"
            )
        self.rate = model.frame_rate if rate is None else rate
        self.protocol = Protocol.of_model(model, clips=clips_per_video)
        spatial = getattr(model, "spatial", None) is not None
        self._weights = model.fusion if spatial else None
        self.model = in_runtime(model, runtime)
        self.class_names = list(names)
        self.batch_size = batch_size
        # Length of the video that was read last.
        self.seconds = 0.0

    @classmethod
    def from_saved(cls, path, **options):
        """From a .keras file, the folder of a training run, or anything that was exported.

        Args:
            path: the file or folder; of exported versions the highest is taken, and files
                for other runtimes are computed by these.
            **options: of the constructor.

        Raises:
            UserError: it is missing, damaged, something else, or could run code.
        """
        from h2s_keras.export.exported_file import ExportedFile, is_exported_file
        from h2s_keras.export.saved_network import SavedNetwork, find_version
        from h2s_keras.models.presets import load_model

        if is_exported_file(path):
            return cls(ExportedFile(path), **options)
        if find_version(path) is not None:
            return cls(SavedNetwork(path), **options)
        return cls(load_model(path), **options)

    def predict(self, video, top_k=5):
        """The best classes of a video.

        Args:
            video: path of a video file.
            top_k: how many classes, best first.

        Returns:
            list of dicts "class" and "score" (a probability), best first.

        Raises:
            UserError: if the video cannot be read or holds a single frame.
        """
        scores = self.scores(video)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return [
            {"class": self.class_names[index], "score": float(scores[index])}
            for index in best
        ]

    def scores(self, video):
        """Probabilities of all classes, float32 (classes,)."""
        total = 0.0
        for clips, shares in self._batches(video):
            logits = self.model.predict_on_batch(clips)["logits"]
            check_finite(logits, video)
            total = total + shares @ log_softmax(logits.astype("float64"))
        return np.exp(log_softmax(total)).astype("float32")

    def describe(self):
        """How videos are read, in words, as `h2s train` and `h2s evaluate` print it."""
        model = self.model
        return self.protocol.describe(
            model.num_frames,
            model.frame_stride,
            model.image_size,
            self.rate,
            self._weights,
        )

    def _batches(self, video):
        """Yields clips of a video and the share of each in its answer."""
        model, protocol = self.model, self.protocol
        size = frame_size(model.image_size, protocol.decode_size)
        source = FrameSource(size, 0, rate=self.rate, per_frame=True, on_broken="keep")
        sampling = ClipSampling(model.num_frames, model.frame_stride, protocol.short)

        def clips(length):
            check_moves(video, length)
            return sampling.even_frames(length, protocol.clips)

        times = NotedTimes(video, self.rate)
        # Each frame once: clips may share them.
        pictures = source.read(video, lambda length: np.unique(clips(length)), times)
        length = source.counts[video]
        self.seconds = times.at(length)
        chosen, wanted = clips(length), np.unique(clips(length))
        # Short videos give a clip several times over: computed once, it counts as often.
        chosen, counts = np.unique(chosen, axis=0, return_counts=True)
        places, shares = np.searchsorted(wanted, chosen), counts / counts.sum()
        box = centre_crop_box(pictures.shape[1:3], model.image_size)
        pictures = crop_frames(pictures, box, model.image_size, False)
        for first in range(0, len(places), self.batch_size):
            batch = slice(first, first + self.batch_size)
            yield pictures[places[batch]], shares[batch]
