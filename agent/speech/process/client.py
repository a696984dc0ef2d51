"""Asks a speech process for words and sound: the worker's, or one of its own."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import httpx2
import numpy as np
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError
from numpy.typing import NDArray

from agent.speech.process.child import SpeechProcess, SpeechProcessError
from agent.speech.process.models import Decoded
from agent.speech.process.wire import SpeakRequest, TranscribeRequest

SOCKET = "PATCHBAY_SPEECH_SOCKET"
"""Environment variable that names the socket of the worker's speech process."""
_AWAY = "the speech process is away"


class SpeechClient:
    """Uses one model of a speech process; for one event loop.

    Making one does nothing. Where `PATCHBAY_SPEECH_SOCKET` names the socket of the worker's speech
    process, it asks that one. Elsewhere the first request, or `start`, starts a process with this
    model alone, which `aclose` ends.

    Its requests raise LiveKit's APIError, with a sentence that a log may hold, so that LiveKit's
    fallback moves on: APIConnectionError if the process is away or dies, APITimeoutError if it
    takes longer than `timeout` seconds, APIStatusError if it refuses (503: it is busy).
    Cancelled, they end the work in the process.
    """

    def __init__(self, model: str) -> None:
        """`model`: its name, `<kind>:<source>`."""
        self.model = model
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._http: httpx2.AsyncClient | None = None

    async def start(self) -> None:
        """Starts the process where there is no worker's, so that no request waits for it."""
        await self._connected()

    async def transcribe(
        self,
        samples: NDArray[np.int16],
        *,
        urgency: Literal["final", "interim"] = "final",
        language: str = "en",
        before: str = "",
        timeout: float = 3.0,  # noqa: ASYNC109  httpx applies it
    ) -> Decoded:
        """Transcribes up to 30 s of mono audio at 16 kHz.

        `before`: the words that come before the audio. An interim request is refused at once with
        503 while the process is busy.
        """
        asked = TranscribeRequest(
            model=self.model, urgency=urgency, language=language, before=before
        )
        http = await self._connected()
        try:
            async with asyncio.timeout(timeout):
                answer = await http.post("/transcribe", content=asked.body(samples.tobytes()))
        except (TimeoutError, httpx2.HTTPError) as error:
            raise _explained(error) from error
        if answer.status_code != httpx2.codes.OK:
            raise _refused(answer)
        return Decoded.from_json(answer.json())

    async def speak(
        self,
        text: str,
        *,
        speed: float = 1.0,
        timeout: float = 3.0,  # noqa: ASYNC109  httpx applies it
    ) -> AsyncGenerator[bytes, None]:
        """Yields mono 16-bit samples as they are made; use it in `contextlib.aclosing`.

        `timeout`: for each piece (s). Closed early, it ends the work at the next piece.
        """
        asked = SpeakRequest(model=self.model, text=text, speed=speed)
        http = await self._connected()
        limits = httpx2.Timeout(timeout)
        try:
            async with http.stream(
                "POST", "/speak", content=asked.body(), timeout=limits
            ) as answer:
                if answer.status_code != httpx2.codes.OK:
                    await answer.aread()
                    raise _refused(answer)
                half = b""  # of a sample: the network may part a piece anywhere
                async for part in answer.aiter_bytes():
                    piece = half + part
                    half = piece[len(piece) // 2 * 2 :]
                    yield piece[: len(piece) // 2 * 2]
        except httpx2.HTTPError as error:
            raise _explained(error) from error

    async def aclose(self) -> None:
        """Closes the connections, and ends the process if it is its own."""
        await self._stack.aclose()
        self._http = None

    async def _connected(self) -> httpx2.AsyncClient:
        async with self._starting:
            if self._http is None:
                async with AsyncExitStack() as stack:
                    path = os.environ.get(SOCKET) or await self._start_own(stack)
                    self._http = await stack.enter_async_context(_client(path))
                    self._stack = stack.pop_all()
            return self._http

    async def _start_own(self, stack: AsyncExitStack) -> str:
        folder = tempfile.mkdtemp(prefix="patchbay-speech-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        socket = Path(folder) / "socket"
        try:
            process = await SpeechProcess.start(socket, [self.model])
        except SpeechProcessError as error:
            raise APIConnectionError(f"the speech process does not start: {error}") from None
        stack.push_async_callback(process.aclose)
        return str(socket)


def _client(path: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url="http://speech",
        # There is no TLS on a socket of this machine, and its certificates take 60 ms to load, in
        # which the call's loop would stand still.
        transport=httpx2.AsyncHTTPTransport(uds=path, verify=False),
        timeout=None,  # each request has its own
        trust_env=False,
    )


def _explained(error: Exception) -> APIError:
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return APITimeoutError("the speech process gave nothing in time")
    return APIConnectionError(_AWAY)


def _refused(answer: httpx2.Response) -> APIStatusError:
    try:
        data: Any = answer.json()
        reason = str(data["error"])
    except (ValueError, KeyError, TypeError):
        reason = "the speech process failed"
    return APIStatusError(reason, status_code=answer.status_code)
