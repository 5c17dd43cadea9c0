import contextlib
import fractions

import numpy as np

from h2s_keras.data.clips.crops import resize_frames
from h2s_keras.files import new_file, whole_file
from h2s_keras.visualization.flow_color import flow_to_color

_CODECS = ("libx264", "mpeg4")
# Of a second; MPEG-4 allows no more than 65535, and most rates divide this.
_TICKS = 60000


class AnnotatedVideo:
    """Writes an .mp4 with the label, its score and the learned flow over the frames.

    It is written beside the file and renamed when closed, so that a run that is cut
    leaves no half file under the name asked for.

    Args:
        path: name ending in .mp4; must not exist.
        class_names: names of the classes.
        rate: frames per second, of windows that come without seconds.
        max_flow: pixels, on the model's finest grid, of full colour in the inset.

    Raises:
        UserError: the name is taken or unfit, or its folder is missing.

    Example:
        >>> with AnnotatedVideo("out.mp4", model.class_names, 25.0) as video:
        ...     for window in sliding_windows(model, iterate_frames("in.mp4")):
        ...         video.add(window)
    """

    def __init__(self, path, class_names, rate=25.0, max_flow=4.0):
        self.path = new_file(path, ".mp4")
        self._file = contextlib.ExitStack()
        self.class_names, self.max_flow = list(class_names), max_flow
        self.rate = fractions.Fraction(rate).limit_denominator(1001)
        self.container = self.stream = None
        self.written, self.stamp = 0, -1

    def add(self, window, seconds=None):
        """Writes the frames of a `Window`.

        Args:
            window: the `Window`.
            seconds: when each of its frames is shown, rising; by default evenly.
        """
        import av

        for number, frame in enumerate(window.frames):
            picture = annotate(frame, window, self.class_names, self.max_flow)
            if self.stream is None:
                self._open(picture.shape)
            # H.264 with 4:2:0 colours wants even sides.
            height, width = self.stream.height, self.stream.width
            picture = np.ascontiguousarray(picture[:height, :width])
            video_frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            moment = self.written / self.rate if seconds is None else seconds[number]
            # Two frames of one moment would be refused.
            self.stamp = max(self.stamp + 1, round(moment * _TICKS))
            video_frame.pts = self.stamp
            video_frame.time_base = fractions.Fraction(1, _TICKS)
            self.written += 1
            self.container.mux(self.stream.encode(video_frame))

    def close(self):
        """Ends the file and gives it its name."""
        if self.container is not None:
            self.container.mux(self.stream.encode())
            self.container.close()
            self.container = None
            self._file.close()

    def _open(self, shape):
        import av

        codec = next(name for name in _CODECS if name in av.codecs_available)
        temporary = self._file.enter_context(whole_file(self.path, ".mp4"))
        self.container = av.open("file:" + temporary, "w")
        self.stream = self.container.add_stream(codec, rate=self.rate)
        self.stream.height, self.stream.width = shape[0] // 2 * 2, shape[1] // 2 * 2
        self.stream.pix_fmt = "yuv420p"
        self.stream.codec_context.time_base = fractions.Fraction(1, _TICKS)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.close()
            return
        if self.container is not None:
            self.container.close()
        self._file.__exit__(kind, error, trace)


def annotate(frame, window, class_names, max_flow=4.0):
    """A frame with the best class, its score and the flow inset.

    Args:
        frame: uint8 (height, width, 3); frames below 160 pixels a side are enlarged.
        window: the `Window` that it belongs to.
        class_names: names of the classes.
        max_flow: as `AnnotatedVideo`.

    Returns:
        uint8 (height, width, 3) RGB.
    """
    factor = -(-160 // min(frame.shape[:2]))
    picture = frame.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = picture.shape[:2]
    best = int(np.argmax(window.probabilities))
    text = f"{class_names[best]} {window.probabilities[best]:.0%}"
    picture = draw_text(picture, text, 4, max(12, height // 14))
    if window.flow is None:
        return picture
    colors = flow_to_color(window.flow, max_flow)
    side = max(2, min(height, width) // 4)
    shape = (side, max(2, round(side * colors.shape[1] / colors.shape[0])))
    inset = resize_frames(colors[None], shape)[0]
    top, left = height - shape[0] - 4, max(0, width - shape[1] - 4)
    picture[top - 1 : top + shape[0] + 1, left - 1 : left + shape[1] + 1] = 0
    picture[top : top + shape[0], left : left + shape[1]] = inset
    return picture


def draw_text(picture, text, corner, size):
    """A line of white text over a darkened bar, shrunk where the picture is narrower.

    Args:
        picture: uint8 (height, width, 3).
        text: str.
        corner: pixels from the left and the upper edge to the bar.
        size: height of the letters in pixels.

    Returns:
        uint8 (height, width, 3).
    """
    from PIL import Image, ImageDraw, ImageFont

    room, font = picture.shape[1] - 3 * corner, ImageFont.load_default(size)
    if font.getlength(text) > room:
        font = ImageFont.load_default(max(6, int(size * room / font.getlength(text))))
    while font.getlength(text) > room and len(text) > 1:  # Smaller could not be read.
        text = text[:-2] + "…"
    left, top, right, bottom = font.getbbox(text, anchor="lt")
    bar = np.s_[corner : 2 * corner + bottom - top, corner : 2 * corner + right - left]
    picture = picture.copy()
    picture[bar] = picture[bar] // 3
    image = Image.fromarray(picture)
    place = (corner * 1.5, corner * 1.5)
    ImageDraw.Draw(image).text(place, text, "white", font, anchor="lt")
    return np.array(image)
