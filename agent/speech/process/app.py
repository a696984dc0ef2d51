"""Answers requests for speech: `POST /transcribe`, `POST /speak` and `GET /`."""

import os
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.speech.process.models import Model, Recogniser, Voice
from agent.speech.process.schedule import BusyError, Rank
from agent.speech.process.threads import Threads
from agent.speech.process.wire import (
    MOST_BYTES,
    SAMPLE_RATE,
    MalformedError,
    SpeakRequest,
    TranscribeRequest,
)
from llm_router.clock import Clock
from llm_router.errors import ConfigurationError
from llm_router.gateway.completions.disconnect import run_until_disconnect


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def make_app(
    models: Mapping[str, Model], faults: Mapping[str, str], threads: Threads, clock: Clock
) -> ASGIApp:
    """Makes the app that serves the models by their names.

    `faults`: why a model has not loaded, by its name; requests for it get that reason.

    A request whose client goes away ends: before its turn, or at the next piece of its voice. An
    answer other than 200 is JSON, and its `error` is one sentence without the caller's words: 400
    for a request that cannot be read, 404 for a model that is not loaded, 413, 500 if the model
    fails, 503 if there is too much to do.
    """
    desk = _Desk(models, faults, threads, clock)
    return Starlette(
        routes=[
            Route("/", desk.describe),
            Route("/transcribe", _explained(desk.transcribe), methods=["POST"]),
            Route("/speak", _explained(desk.speak), methods=["POST"]),
        ]
    )


class _Desk:
    def __init__(
        self, models: Mapping[str, Model], faults: Mapping[str, str], threads: Threads, clock: Clock
    ) -> None:
        self._models = models
        self._faults = faults
        self._threads = threads
        self._clock = clock

    async def describe(self, _: Request) -> Response:
        schedule = self._threads.schedule
        return JSONResponse(
            {
                "pid": os.getpid(),
                "models": [*self._models],
                "faults": {**self._faults},
                "running": schedule.running,
                "waiting": schedule.waiting,
            }
        )

    async def transcribe(self, request: Request) -> Response:
        asked, pcm = TranscribeRequest.parse(await _body(request))
        model = self._model(asked.model)
        if not hasattr(model, "decode"):
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"{asked.model} transcribes nothing")
        recogniser: Recogniser = model
        decode = partial(
            recogniser.decode,
            np.frombuffer(pcm, np.int16),
            language=asked.language,
            before=asked.before,
            among=asked.among,
        )
        rank = Rank.FINAL if asked.urgency == "final" else Rank.INTERIM
        decoded = await run_until_disconnect(self._threads.run(rank, decode), request.receive)
        return JSONResponse(decoded.as_json())

    async def speak(self, request: Request) -> ASGIApp:
        asked = SpeakRequest.parse(await _body(request))
        model = self._model(asked.model)
        if not hasattr(model, "speak"):
            raise _RefusedError(HTTPStatus.NOT_FOUND, f"{asked.model} has no voice")
        voice: Voice = model
        sound = self._sound(voice, asked)
        first = await run_until_disconnect(anext(sound, b""), request.receive)
        return _SoundResponse(first, sound, voice.sample_rate)

    async def _sound(self, voice: Voice, asked: SpeakRequest) -> AsyncGenerator[bytes, None]:
        """Yields the sound piece by piece. Each is made when it is asked for and its turn comes."""
        pieces = voice.speak(asked.text, speed=asked.speed)
        rank = Rank.MORE_SOUND if asked.silent_in else Rank.FIRST_SOUND
        silent_at = self._clock.now() + asked.silent_in
        try:
            while True:
                step = partial(next, pieces, None)
                piece = await self._threads.run(rank, step, silent_at=silent_at)
                if piece is None:
                    return
                rank = Rank.MORE_SOUND
                silent_at = max(silent_at, self._clock.now()) + len(piece) / 2 / voice.sample_rate
                yield piece
        finally:
            pieces.close()

    def _model(self, name: str) -> Any:
        try:
            return self._models[name]
        except KeyError:
            if fault := self._faults.get(name):
                raise _RefusedError(HTTPStatus.NOT_FOUND, fault) from None
            loaded = ", ".join(self._models) or "none"
            raise _RefusedError(
                HTTPStatus.NOT_FOUND, f"speech model {name} is not loaded, but {loaded}"
            ) from None


class _SoundResponse:
    """Streams the sound, and ends it when the client has gone.

    If the voice fails, the answer breaks off, which its client sees.
    """

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None], sample_rate: int) -> None:
        self._first = first
        self._rest = rest
        self._sample_rate = sample_rate

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (b"content-type", b"audio/pcm"),
            (SAMPLE_RATE.encode(), str(self._sample_rate).encode()),
        ]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
        try:
            await run_until_disconnect(self._send_pieces(send), receive)
        except Exception:  # noqa: BLE001  a model may raise anything, with the caller's words in it
            return
        await send({"type": "http.response.body", "body": b""})

    async def _send_pieces(self, send: Send) -> None:
        async with aclosing(self._rest):
            await send({"type": "http.response.body", "body": self._first, "more_body": True})
            async for piece in self._rest:
                await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")
    return bytes(body)


def _explained(
    answer: Callable[[Request], Coroutine[Any, Any, Any]],
) -> Callable[[Request], Coroutine[Any, Any, Any]]:
    """Wraps an endpoint, so that its errors become answers."""

    async def explained(request: Request) -> Any:
        try:
            return await answer(request)
        except (MalformedError, ConfigurationError) as error:  # the latter: a language, for example
            return _refusal(HTTPStatus.BAD_REQUEST, str(error))
        except _RefusedError as error:
            return _refusal(error.status, str(error))
        except BusyError as error:
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except ClientDisconnect:
            return _refusal(HTTPStatus.BAD_REQUEST, "the client has gone")
        except Exception as error:  # noqa: BLE001  a model may raise anything
            reason = f"the speech model failed ({_place(error)})"
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, reason)

    return explained


def _place(error: Exception) -> str:
    """Names the error's type and place. Its message may hold the caller's words."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}, line {frame.lineno}"


def _refusal(status: HTTPStatus, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)
