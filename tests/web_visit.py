"""Helpers of the browser tests: a server of static files, a visited page, WebM videos."""

import contextlib
import functools
import http.server
import threading

import numpy as np

FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
WEBGPU_ON_THE_CPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")


class _Handler(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` does, and with `isolated` the headers of docs/web.md."""

    isolated = False

    def end_headers(self):
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serve(folder, isolated=False):
    """Address of a server of a folder, for the time of the block."""
    kind = type("Handler", (_Handler,), {"isolated": isolated})
    handler = functools.partial(kind, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()


class Visit:
    """A page that is open, and all that went wrong or was asked for since."""

    def __init__(self, page, address):
        self.page, self.address = page, address
        self.errors, self.requests = [], []
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        page.context.on("request", lambda request: self.requests.append(request.url))

    def _note(self, message):
        # Chromium says so of every machine without a GPU.
        no_gpu = message.text == "No available adapters."
        if message.type in ("error", "warning") and not no_gpu:
            self.errors.append(message.text)

    def open(self):
        self.page.goto(self.address)
        # Not wait_for_function, which evaluates text and so is kept out by the page.
        self.page.evaluate("h2s.ready.then(() => true)")
        return self

    def wait(self, element, text):
        """Until an element shows some text; with None, anything but a dash."""
        from playwright.sync_api import expect

        place = expect(self.page.locator(element))
        if text is None:
            place.not_to_have_text("–", timeout=120_000)
        else:
            place.to_contain_text(text, timeout=120_000)

    @property
    def strangers(self):
        """Requests that left the origin of the page."""
        own = (self.address, f"blob:{self.address}", "data:")
        return [url for url in self.requests if not url.startswith(own)]


def write_webm(path, frames, rate=25, size=(96, 144), codec="libvpx", picture=None):
    """A video of a texture that moves right by 2 pixels a frame, or of other pictures.

    Args:
        picture: function from the number of a frame to uint8 (height, width, 3).
    """
    import av

    if picture is None:
        rng = np.random.default_rng(0)
        cells = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3)).astype("uint8")
        texture = cells.repeat(8, axis=0).repeat(8, axis=1)

        def picture(number):
            return np.roll(texture, 2 * number, axis=1)

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate, stream.options = 4_000_000, {"deadline": "realtime"}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
