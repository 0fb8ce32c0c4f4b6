"""A headless Chromium driven through its DevTools protocol over a pipe: no network, no driver, no package."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars",
    "--disable-dev-shm-usage", "--remote-debugging-pipe",
)  # fmt: skip
START = """
import os, sys
ends = [os.dup(int(number)) for number in sys.argv[1:3]]
for end, place in zip(ends, (3, 4)):  # where the browser reads commands and writes answers
    os.dup2(end, place)
    os.set_inheritable(place, True)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "Home": 36, "End": 35}


class Browser:
    """One page, and what it asked of the network and wrote to its console."""

    def __init__(self, profile: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        assert BROWSER is not None
        to_read, self.to = os.pipe()
        self.of, to_write = os.pipe()
        command = [sys.executable, "-c", START, str(to_read), str(to_write), BROWSER, *FLAGS]
        command += [f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"]
        self.process = subprocess.Popen(
            command, pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self.number = 0
        self.rest = b""
        self.session = ""
        self.console: list[str] = []
        self.requests: list[str] = []
        try:
            self._attach(width, height, dark)
        except BaseException:
            self.close()
            raise

    def _attach(self, width: int, height: int, dark: bool) -> None:
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self(f"{domain}.enable")
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        # Without motion a page is where it was told to scroll to, not on its way there.
        wishes = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self("Emulation.setEmulatedMedia", features=features)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the browser: it goes when its pipe does."""
        for end in (self.to, self.of):
            with contextlib.suppress(OSError):
                os.close(end)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait()

    def __call__(self, method: str, **params: Any) -> Any:
        """The answer to one command."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        for answer in self._messages(time.monotonic() + 90):
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
        raise AssertionError(f"the browser did not answer {method}")

    def _messages(self, until: float) -> Iterator[dict[str, Any]]:
        while time.monotonic() < until:
            while b"\0" in self.rest:
                line, _, self.rest = self.rest.partition(b"\0")
                message: dict[str, Any] = json.loads(line)
                self._note(message)
                yield message
            ready, _, _ = select.select([self.of], [], [], 0.5)
            if ready:
                part = os.read(self.of, 1 << 20)
                assert part, "the browser closed its pipe"
                self.rest += part

    def _note(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled":
            said = " ".join(str(a.get("value", a.get("description", ""))) for a in params["args"])
            self.console.append(f"{params['type']}: {said}")
        elif method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(params["exceptionDetails"])[:500])
        elif method == "Log.entryAdded":
            self.console.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, page: Path) -> None:
        """Load a page, and wait until its charts are drawn."""
        self("Page.navigate", url=page.as_uri())
        self.drawn()

    def js(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str, seconds: float = 60) -> Any:
        """Wait until a JavaScript expression is true, and return its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.js(expression)
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"{expression} was not true within {seconds} s; console: {self.console}")

    def drawn(self) -> int:
        """Wait until every chart that is shown is drawn; how many there are."""
        return int(self.until("document.documentElement?.dataset.drawn"))  # text: "0" is true

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse there."""
        self("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        # After a jump of the page the browser finds what lies under the pointer only with the next picture.
        self.js("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, shift: bool = False) -> None:
        """Press and release one key, as a person would."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        event = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        self("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", text=text, **event)
        self("Input.dispatchKeyEvent", type="keyUp", **event)

    def write(self, text: str) -> None:
        """Type a text into what has the focus."""
        for key in text:
            self.press(key)

    def picture(self, path: Path, whole: bool = True, clip: dict[str, float] | None = None) -> None:
        """A screenshot, of the whole page or of a part of it."""
        options: dict[str, Any] = {"captureBeyondViewport": whole or clip is not None}
        if clip is not None:
            options["clip"] = {**clip, "scale": 1}
        elif whole:
            size = self("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", **options)["data"]))
