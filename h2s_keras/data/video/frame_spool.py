import contextlib
import tempfile

from h2s_keras.errors import FileError

# Encoded frames of one video held in memory; more of them go to a temporary file.
_MEMORY = 1 << 27


class FrameSpool:
    """Encoded frames and flow of one video, kept until the video is known to be good.

    Raises:
        UserError: from any method, where the temporary folder is full.

    Example:

    ```python
    with FrameSpool() as spool:
        spool.add(0, jpeg, None)
        spool.frames([0])       # [jpeg]
    ```
    """

    def __init__(self):
        self._file = tempfile.SpooledTemporaryFile(_MEMORY)
        self._places = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # What the disk did not take is thrown away with the rest.
        with contextlib.suppress(OSError):
            self._file.close()

    def __len__(self):
        return len(self._places)

    def add(self, number, frame, flow):
        """Keeps frame `number`, and its flow to the next frame or None."""
        start = self._file.tell()
        with _disk_errors():
            self._file.write(frame)
            if flow is not None:
                self._file.write(flow)
        flow_bytes = None if flow is None else len(flow)
        self._places[number] = (start, len(frame), flow_bytes)

    def frames(self, numbers):
        """JPEG bytes of the frames."""
        return [self._read(self._places[number][:2]) for number in numbers]

    def flows(self, numbers):
        """Encoded flow of each frame to the next."""
        spans = [self._places[number] for number in numbers]
        return [self._read((start + size, flow)) for start, size, flow in spans]

    def _read(self, span):
        start, size = span
        with _disk_errors():
            self._file.seek(start)
            return self._file.read(size)


@contextlib.contextmanager
def _disk_errors():
    try:
        yield
    except OSError as error:
        raise FileError(
            tempfile.gettempdir(),
            f"cannot hold the frames of one video ({error.strerror}); free some space "
            "there, or set TMPDIR to another folder",
        ) from None
