"""A study's page while the study runs: served on this machine alone, rendered anew on news."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from expand3d.core.errors import ConfigError, UserError
from expand3d.report.study.page import page_text
from expand3d.report.study.thumbnails import Thumbnails
from expand3d.report.study.view import StudyView, load_view
from expand3d.study.damaged import reading

#: The only address that is served: no other machine reaches it.
LOOPBACK = "127.0.0.1"
#: Milliseconds after which the page asks again.
ASK_AGAIN = 2000
#: Of a look at the record, the rest that follows: a busy machine has better things to do.
REST = 10.0


class Pages:
    """The newest page of a study. `trouble` says why it could not be made anew, if it could not."""

    def __init__(self, load: Callable[[], StudyView]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._thumbnails: Thumbnails | None = None
        self._rested = 0.0
        self.trouble: str | None = None
        self.text, self.version = self._made(load())

    def look(self) -> None:
        """Read the record again, unless that was done a moment ago."""
        with self._lock:
            began = time.monotonic()
            if began < self._rested:
                return
            try:
                self.text, self.version = self._made(self._load())
                self.trouble = None
            except UserError as error:
                self.trouble = str(error)
            now = time.monotonic()
            self._rested = now + min(60.0, REST * (now - began))

    def _made(self, view: StudyView) -> tuple[str, str]:
        self._thumbnails = self._thumbnails or Thumbnails(view)
        with reading(view.name):
            return page_text(view, thumbnails=self._thumbnails, look_again=ASK_AGAIN)


class Server(ThreadingHTTPServer):
    """Serves one study's page on the loopback address; ConfigError where the port is taken."""

    daemon_threads = True

    def __init__(self, pages: Pages, port: int = 0) -> None:
        self.pages = pages
        try:
            super().__init__((LOOPBACK, port), _Answer)
        except OverflowError:
            raise ConfigError(f"--port {port}: ports end at 65535") from None
        except OSError as error:
            why = error.strerror or error
            raise ConfigError(f"--port {port}: {why}; leave it out for a free one") from None

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.server_port}/"


class _Answer(BaseHTTPRequestHandler):
    """The page at /, its version at /version; nothing to requests that name another host."""

    server: Server

    def do_GET(self) -> None:
        # A page of the web may send a browser here under a name of its own.
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        pages = self.server.pages
        if host not in (LOOPBACK, "localhost"):
            self._send(HTTPStatus.FORBIDDEN, f"only {LOOPBACK} is served", "text/plain")
        elif self.path == "/":
            pages.look()
            self._send(HTTPStatus.OK, pages.text, "text/html")
        elif self.path == "/version":
            pages.look()
            told = {"version": pages.version, "trouble": pages.trouble}
            self._send(HTTPStatus.OK, json.dumps(told), "application/json")
        else:
            self._send(HTTPStatus.NOT_FOUND, "no such page", "text/plain")

    def _send(self, status: HTTPStatus, text: str, kind: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of requests."""


def serve_page(
    name: str,
    *,
    root: str | Path,
    storage: str | None = None,
    port: int = 0,
    say: Callable[[str], None],
) -> None:
    """Serve the page of a study until Ctrl-C; `say` is told the address.

    StudyError where there is no such study, ConfigError where the port is taken.
    """
    pages = Pages(lambda: load_view(name, root=root, storage=storage))
    with Server(pages, port) as server:
        say(server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.2)
