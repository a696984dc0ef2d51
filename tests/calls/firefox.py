"""Drives Debian's Firefox by WebDriver BiDi, as far as a test of the widget needs it.

Playwright's own way to it asks for commands that Firefox ESR does not have yet.
"""

import asyncio
import itertools
import json
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

_PREFERENCES = {
    "media.navigator.streams.fake": True,  # a tone for a microphone
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.peerconnection.ice.loopback": True,  # LiveKit is on this machine
    "media.peerconnection.ice.default_address_only": False,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "app.update.disabledForTesting": True,
}
_WITHIN = 60.0
"""Time limit (s) of what a test waits for; long, since the machine may be busy."""


class FirefoxPage:
    """One page of the running browser."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._context = ""
        self.console: list[str] = []
        """The lines that the page has written to the console."""

    async def begin(self) -> str:
        """Begins a session in the page that is open, and returns the browser's version."""
        session = await self._send("session.new", capabilities={})
        tree = await self._send("browsingContext.getTree")
        self._context = tree["contexts"][0]["context"]
        await self._send("session.subscribe", events=["log.entryAdded"])
        return str(session["capabilities"]["browserVersion"])

    async def goto(self, address: str) -> None:
        wait = {"url": address, "wait": "complete"}
        await self._send("browsingContext.navigate", context=self._context, **wait)

    async def evaluate(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression, awaited: text, a number, a bool or None."""
        answer = await self._send(
            "script.evaluate",
            expression=expression,
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        assert answer["type"] == "success", answer
        return answer["result"].get("value")

    async def wait_for(self, condition: str) -> None:
        """Waits until a JavaScript expression is true."""
        within = f"{_WITHIN * 1000}"
        met = await self.evaluate(
            f"new Promise((done) => {{ setTimeout(() => done(false), {within}); const each ="
            f" setInterval(() => {{ if ({condition}) {{ clearInterval(each); done(true); }} }},"
            " 100); })"
        )
        text = "[...document.querySelectorAll('*')].map((e) => e.shadowRoot?.textContent).join(' ')"
        assert met, (condition, self.console, await self.evaluate(text))

    async def _send(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async for message in self._socket:
            answer = json.loads(message.data)
            if answer.get("method") == "log.entryAdded":
                self.console.append(str(answer["params"]["text"]))
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return dict(answer["result"])
        raise ConnectionError("Firefox has ended")


@asynccontextmanager
async def firefox(profile: Path) -> AsyncIterator[FirefoxPage]:
    """Runs the browser, with a tone for a microphone, until the end."""
    program = shutil.which("firefox-esr") or shutil.which("firefox")
    if program is None:
        pytest.fail("Firefox is not installed: apt install firefox-esr", pytrace=False)
    lines = [f"user_pref({json.dumps(n)}, {json.dumps(v)});" for n, v in _PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    process = await asyncio.create_subprocess_exec(
        program, "--headless", "--no-remote", "--profile", str(profile),
        "--remote-debugging-port", "0", "about:blank", stdout=DEVNULL, stderr=PIPE,
    )  # fmt: skip
    reading: asyncio.Task[None] | None = None
    try:
        assert process.stderr
        async with asyncio.timeout(_WITHIN):
            address = await _address(process.stderr)
        reading = asyncio.create_task(_drain(process.stderr))
        async with ClientSession() as session, session.ws_connect(f"{address}/session") as socket:
            page = FirefoxPage(socket)
            await page.begin()
            yield page
    finally:
        process.terminate()
        await process.wait()
        if reading is not None:
            await reading


async def _address(errors: asyncio.StreamReader) -> str:
    while line := (await errors.readline()).decode(errors="replace"):
        if found := re.search(r"BiDi listening on (ws://\S+)", line):
            return found[1]
    raise ConnectionError("Firefox has ended")


async def _drain(errors: asyncio.StreamReader) -> None:
    while await errors.read(4096):
        pass
