"""Asks a speech process for words and sound: the worker's, or one of its own."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import httpx2
import numpy as np
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError
from numpy.typing import NDArray

from agent.speech.process.child import SpeechProcess, SpeechProcessError
from agent.speech.process.health import Health
from agent.speech.process.models import Decoded
from agent.speech.process.wire import MOST_AHEAD, SpeakRequest, TranscribeRequest
from llm_router.clock import SystemClock

SOCKET = "PATCHBAY_SPEECH_SOCKET"
"""Environment variable that names the socket of the worker's speech process."""
_AWAY = "the speech process is away"
_STUCK = "the speech process gives no answers"
_CHECK_WITHIN = 0.2
"""Seconds in which a process that was late must answer a check; it takes some milliseconds."""


class SpeechAwayError(APIConnectionError):
    """The speech process does not start, is away or has died. The message is a sentence."""


class SpeechLateError(APITimeoutError):
    """The speech process did not answer in time. The message is a sentence."""


class SpeechClient:
    """Uses one model of a speech process; for one event loop.

    Making one does nothing. Where `PATCHBAY_SPEECH_SOCKET` names the socket of the worker's speech
    process, it asks that one. Elsewhere the first request, or `start`, starts a process with this
    model alone, which `aclose` ends.

    Its requests raise LiveKit's APIError, with a sentence that a log may hold, so that LiveKit's
    fallback moves on: SpeechAwayError if the process is away or dies, SpeechLateError if it takes
    longer than `timeout` seconds, APIStatusError if it refuses (503: it is busy), APIError if its
    answer cannot be read. After one came late, they fail at once until the process answers again.
    Cancelled, they end the work in the process.
    """

    def __init__(self, model: str) -> None:
        """`model`: its name, `<kind>:<source>`."""
        self.model = model
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._closed = False
        self._clock = SystemClock()
        self._health = Health()
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
        among: Sequence[str] = (),
        timeout: float = 3.0,  # noqa: ASYNC109  httpx applies it
    ) -> Decoded:
        """Transcribes up to 30 s of mono audio at 16 kHz.

        `before`: the words that come before the audio. `among`: languages of which that of the
        audio is chosen, `language` where it is not clear; empty: there is no choice. An interim
        request is refused at once with 503 while the process is busy.
        """
        asked = TranscribeRequest(
            model=self.model,
            urgency=urgency,
            language=language,
            before=before,
            among=tuple(among),
        )
        http = await self._ready()
        try:
            async with asyncio.timeout(timeout):
                answer = await http.post("/transcribe", content=asked.body(samples.tobytes()))
        except (TimeoutError, httpx2.HTTPError) as error:
            raise self._explained(error) from error
        self._health.answered()
        if answer.status_code != httpx2.codes.OK:
            raise _refused(answer)
        try:
            return Decoded.from_json(answer.json())
        except (ValueError, KeyError, TypeError):
            raise APIError("the speech process gave words that cannot be read") from None

    async def speak(
        self,
        text: str,
        *,
        speed: float = 1.0,
        silent_in: float = 0.0,
        first: float = 3.0,
        timeout: float = 3.0,  # noqa: ASYNC109  httpx applies it
    ) -> AsyncGenerator[bytes, None]:
        """Yields mono 16-bit samples as they are made; use it in `contextlib.aclosing`.

        `timeout`: for each piece (s). `first`: for the first piece, if that is less and the process
        has answered before (s). `silent_in`: seconds of the reply's sound that are yet to be
        played; more urgent work comes before its rest, for a second at most. Closed early, it ends
        the work at the next piece.
        """
        ahead = min(silent_in, MOST_AHEAD)
        asked = SpeakRequest(model=self.model, text=text, speed=speed, silent_in=ahead)
        http = await self._ready()
        within = min(first, timeout) if self._health.has_answered else timeout
        asking = http.stream("POST", "/speak", content=asked.body(), timeout=timeout)
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(within):  # the answer begins with the first piece
                    answer = await stack.enter_async_context(asking)
                self._health.answered()
                if answer.status_code != httpx2.codes.OK:
                    await answer.aread()
                    raise _refused(answer)
                half = b""  # of a sample: the network may part a piece anywhere
                async for part in answer.aiter_bytes():
                    piece = half + part
                    half = piece[len(piece) // 2 * 2 :]
                    yield piece[: len(piece) // 2 * 2]
        except (TimeoutError, httpx2.HTTPError) as error:
            raise self._explained(error) from error

    async def aclose(self) -> None:
        """Closes the connections, and ends the process if it is its own, for good.

        A process that is just being started ends once it has started.
        """
        self._closed = True
        async with self._starting:
            await self._stack.aclose()

    async def _ready(self) -> httpx2.AsyncClient:
        """Returns the client of a process that can be asked. Raises SpeechAwayError."""
        http = await self._connected()
        step = self._health.next_step(self._clock.now())
        if step == "check":
            try:
                await http.get("/", timeout=_CHECK_WITHIN)
            except httpx2.HTTPError as error:
                raise SpeechAwayError(_STUCK) from error
            self._health.answered()
        elif step == "refuse":
            raise SpeechAwayError(_STUCK)
        return http

    async def _connected(self) -> httpx2.AsyncClient:
        async with self._starting:
            if self._closed:
                raise SpeechAwayError("the engine is closed")
            if self._http is None:
                async with AsyncExitStack() as stack:
                    path = os.environ.get(SOCKET) or await self._start_own(stack)
                    self._http = await stack.enter_async_context(_client(path))
                    self._stack = stack.pop_all()
            return self._http

    async def _start_own(self, stack: AsyncExitStack) -> str:
        try:
            folder = tempfile.mkdtemp(prefix="patchbay-speech-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            socket = Path(folder) / "socket"
            process = await SpeechProcess.start(socket, [self.model])
        except (SpeechProcessError, OSError) as error:
            raise SpeechAwayError(f"the speech process does not start: {error}") from None
        stack.push_async_callback(process.aclose)
        return str(socket)

    def _explained(self, error: Exception) -> APIError:
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            self._health.late()
            return SpeechLateError("the speech process gave nothing in time")
        return SpeechAwayError(_AWAY)


def _client(path: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url="http://speech",
        # There is no TLS on a socket of this machine, and its certificates take 60 ms to load, in
        # which the call's loop would stand still.
        transport=httpx2.AsyncHTTPTransport(uds=path, verify=False),
        timeout=None,  # each request has its own
        trust_env=False,
    )


def _refused(answer: httpx2.Response) -> APIStatusError:
    try:
        data: Any = answer.json()
        reason = str(data["error"])
    except (ValueError, KeyError, TypeError):
        reason = "the speech process failed"
    return APIStatusError(reason, status_code=answer.status_code)
