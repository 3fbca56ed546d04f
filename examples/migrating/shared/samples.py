"""For tests: passports to check, and a register that can be busy."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

NUMBER = "L898902C3"
FORGED = "L898902C46UTO7408122F1204159ZE184226B<<<<<10"
"""Somebody has made a 4 of the number's last digit."""
SHARP, BLURRED = bytes((0, 200)), bytes((90, 91))


def line(number: str = NUMBER) -> str:
    """Make the second line of a passport's machine-readable zone, with right check digits."""
    body = f"{with_digit(number)}UTO{with_digit('740812')}F{with_digit('301231')}"
    body += with_digit("ZE184226B<<<<<")
    return body + digit(body[:10] + body[13:20] + body[21:43])


def with_digit(field: str) -> str:
    return field + digit(field)


def digit(text: str) -> str:
    values = (0 if character == "<" else int(character, 36) for character in text)
    return str(sum(value * (7, 3, 1)[n % 3] for n, value in enumerate(values)) % 10)


def upload(root: Path, document: str, mrz: str, *, pages: int = 2, dots: bytes = SHARP) -> str:
    """Make the folder of an uploaded passport, as the web application does; return its name."""
    folder = root / document
    folder.mkdir(parents=True)
    (folder / "mrz.txt").write_text(mrz)
    for n in range(pages):
        (folder / f"page-{n + 1}.pgm").write_bytes(image(dots))
    return document


def image(dots: bytes = SHARP) -> bytes:
    """Make a scanned page, 64 by 64 pixels: the same few dots again and again."""
    return b"P5\n64 64\n255\n" + dots * (64 * 64 // len(dots))


class Register:
    """The register of lost passports, on a free port.

    Attributes:
        url: its address.
        asked: how often it was asked for each number.
        busy: how often it will still answer 503, for each number.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.busy: Counter[str] = Counter()
        register = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status = register.answer(self.path.rpartition("/")[2])
                body = json.dumps({"lost": False}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, number: str) -> int:
        """Count a question; return the status of the answer."""
        self.asked[number] += 1
        if self.busy[number] == 0:
            return 200
        self.busy[number] -= 1
        return 503

    @contextmanager
    def serving(self) -> Iterator["Register"]:
        """Answer until the block ends."""
        thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()
