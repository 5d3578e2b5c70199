"""A page in headless Chromium, driven through a pipe by the browser's own protocol."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.waiting import HANGS

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


class Browser:
    """One tab. `complaints` are the errors and warnings that it has logged."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        (page,) = [
            target
            for target in self._call("Target.getTargets")["targetInfos"]
            if target["type"] == "page"
        ][:1]
        attached = self._call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, address: str, *, width: int = 1280, height: int = 900) -> None:
        """Load a page at a size, and wait until it is drawn."""
        self.size(width, height)
        self._call("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **metrics)

    def media(self, *, dark: bool = False, paper: bool = False) -> None:
        """Show the page as who prefers dark pages sees it, or as it is printed."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", media="print" if paper else "", features=features)

    def value(self, expression: str) -> Any:
        """The value of an expression of JavaScript; AssertionError where it raises."""
        said = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true; while a page is loaded, nothing is."""
        until = time.monotonic() + HANGS
        while True:
            said = self._call("Runtime.evaluate", expression=f"!!({expression})")
            if "exceptionDetails" not in said and said["result"]["value"]:
                return
            assert time.monotonic() < until, f"never true: {expression}"
            time.sleep(0.05)

    def hover(self, selector: str) -> None:
        """Put the mouse on the middle of an element, which is scrolled into view."""
        self._mouse("mouseMoved", *self._middle(selector))

    def click(self, selector: str) -> None:
        x, y = self._middle(selector)
        self._mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self._mouse(kind, x, y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key that writes nothing, such as Enter or ArrowRight."""
        codes = {"Enter": 13, "Tab": 9, "ArrowLeft": 37, "ArrowRight": 39, "Escape": 27}
        for kind in ("rawKeyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=codes[key],
            )

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """`path`, a PNG of what is seen, or of the whole page."""
        said = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(said["data"]))
        return path

    def _middle(self, selector: str) -> tuple[float, float]:
        there = json.dumps(selector)
        box = self.value(
            f"(() => {{ const node = document.querySelector({there});"
            "node.scrollIntoView({block: 'center'}); const box = node.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        return box[0], box[1]

    def _mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def _call(self, method: str, **values: Any) -> dict[str, Any]:
        """The browser's answer; what it says besides is kept."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": values}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            said = self._heard()
            if said.get("id") == number:
                assert "error" not in said, (method, said["error"])
                found: dict[str, Any] = said["result"]
                return found
            self._note(said)

    def _heard(self) -> dict[str, Any]:
        until = time.monotonic() + HANGS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], 1.0)
            more = os.read(self._back, 1 << 20) if ready else b""
            # What it has started may hold the pipe open when it is gone.
            gone = not more and (bool(ready) or self._process.poll() is not None)
            assert not gone, f"the browser is gone ({self._process.poll()})"
            assert time.monotonic() < until, "the browser does not answer"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def _note(self, said: dict[str, Any]) -> None:
        method, params = said.get("method"), said.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with its profile in an empty folder; skips where none is installed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no chromium is on this machine")
    # Beyond the two that the browser is to have, so that neither takes the other's place.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (*os.pipe(), *os.pipe())]
    asked, to, back, answers = ends

    def inherit() -> None:
        os.dup2(asked, 3)
        os.dup2(answers, 4)

    process = subprocess.Popen(
        [found, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=inherit,
        pass_fds=(3, 4),
    )
    os.close(asked)
    os.close(answers)
    try:
        yield Browser(process, to, back)
    finally:
        process.terminate()
        process.wait()
        os.close(to)
        os.close(back)
