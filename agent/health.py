"""Answers health checks of a worker: is it alive, and can it answer a call?

LiveKit's own health check says nothing of the processes that answer calls. So that check can
be reached from this machine only, and the one here includes its result.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
from aiohttp import web

from agent.listening import refusal
from agent.starts import Starts
from llm_router.errors import ConfigurationError

_TIMEOUT = aiohttp.ClientTimeout(total=2.0)
"""Seconds for LiveKit's own answer."""
_NOT_UP_YET = "no call process has come up yet"
_FAILING = "the last call process did not come up, and no call can be answered; the log says why"
_UNKNOWN = "LiveKit sends no call yet: the worker is not registered there"
_SILENT = "the worker's own health check does not answer"


@asynccontextmanager
async def health_server(
    host: str,
    port: int,
    starts: Starts,
    own_port: Callable[[], int],
    is_registered: Callable[[], bool],
    *,
    metrics_port: int | None = None,
) -> AsyncIterator[None]:
    """Answers health checks on `host` and `port` during the block.

    `/` and `/readyz` answer 200 if the last call process came up, LiveKit has registered the worker
    and LiveKit's own check is well, else 503 with the reason; `/healthz` answers 200 as long as the
    worker runs; `/worker` is LiveKit's description of the worker. `own_port`: port of LiveKit's own
    checks, 0 until there is one. `metrics_port`: that of the metrics, which LiveKit serves inside
    this machine only and `/metrics` passes on; None: there are none. Raises ConfigurationError if
    the address cannot be used.
    """
    app = web.Application()
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as client:

        async def ask(path: str, port: int | None = None) -> web.Response:
            """Returns LiveKit's own answer."""
            try:
                async with client.get(f"http://127.0.0.1:{port or own_port()}{path}") as answer:
                    body = await answer.read()
                    kind = answer.content_type
                    return web.Response(status=answer.status, body=body, content_type=kind)
            except (aiohttp.ClientError, TimeoutError):
                return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=_SILENT)

        async def ready(_: web.Request) -> web.Response:
            if reason := _problem(starts, is_registered=is_registered()):
                return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=reason)
            return await ask("/")

        async def alive(_: web.Request) -> web.Response:
            return web.Response(text="OK")

        async def worker(_: web.Request) -> web.Response:
            return await ask("/worker")

        async def metrics(_: web.Request) -> web.Response:
            return await ask("/metrics", metrics_port)

        app.add_routes([web.get("/", ready), web.get("/readyz", ready)])
        if metrics_port:
            app.add_routes([web.get("/metrics", metrics)])
        app.add_routes([web.get("/healthz", alive), web.get("/worker", worker)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await _listen(runner, host, port)
            yield
        finally:
            await runner.cleanup()


def _problem(starts: Starts, *, is_registered: bool) -> str:
    """Returns why no call can be answered, or an empty text."""
    if starts.is_failing:
        return _FAILING
    if not starts.has_succeeded:
        return _NOT_UP_YET
    return "" if is_registered else _UNKNOWN


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ConfigurationError(refusal(error, host, port, "WORKER")) from error
