"""The HTTP process, `python -m agent.api`: the page, its tokens and what it shows."""

import argparse
import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import uvicorn
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.tokens import Problem, TokenOptions, VoiceServer, token_router
from config.settings import Settings, SettingsError, environment, load_settings
from llm_router.discovery import Found, find_connections
from llm_router.errors import ConfigurationError

log = logging.getLogger("agent.api")  # as a program its __name__ says nothing

_GRACE = 5
"""Seconds that answers under way may take after the process was told to stop."""
_NO_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Patchbay</title>
<h1>The page is not built yet</h1>
<p>Run <code>make setup</code>, then start this process again. (It looks in the folder that the
setting <code>PAGE_DIR</code> names.)</p></html>
"""


class DemoConnection(BaseModel):
    name: str
    model: str
    provider: str
    source: str
    """In words: where it was found."""


class Demo(BaseModel):
    """What the page shows of the agent before a call."""

    agent_name: str
    language: str
    connections: list[DemoConnection]
    offline: bool
    """No model is connected: the built-in responder answers."""


def build_app(settings: Settings, found: Found) -> FastAPI:
    secret = settings.livekit_api_secret.get_secret_value()
    voice = VoiceServer(settings.livekit_url, settings.livekit_api_key, secret)
    server_url = settings.livekit_public_url or settings.livekit_url

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with voice:
            yield

    app = FastAPI(title="Patchbay", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Content-Type"],
        expose_headers=["Retry-After"],
    )
    app.add_middleware(
        SecurityHeaders, headers=_security_headers(server_url, settings.allowed_origins)
    )
    _answer_with_problems(app)
    options = TokenOptions(
        server_url=server_url,
        api_key=settings.livekit_api_key,
        api_secret=secret,
        agent_name=settings.agent_name,
        ttl=settings.token_ttl,
        rate_limit=settings.token_rate_limit,
        allowed_origins=settings.allowed_origins,
    )
    app.include_router(token_router(options, voice))
    _add_status(app, voice)
    _add_demo(app, settings, found)
    _add_page(app, settings)
    return app


def _add_status(app: FastAPI, voice: VoiceServer) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process is alive."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> dict[str, str]:
        """Calls can be made: LiveKit answers and takes our keys. Otherwise 502 or 503."""
        await voice.check()
        return {"status": "ready"}


def _add_demo(app: FastAPI, settings: Settings, found: Found) -> None:
    shown = Demo(
        agent_name=settings.agent_name,
        language=settings.agent_language,
        connections=[
            DemoConnection(
                name=connection.name,
                model=connection.model_name,
                provider=connection.provider,
                source=found.sources[connection.name],
            )
            for connection in found.connections
            if connection.is_active and connection.use_in_livekit
        ],
        offline=found.offline,
    )

    @app.get("/api/demo")
    async def demo() -> Demo:
        return shown


def _add_page(app: FastAPI, settings: Settings) -> None:
    # Mounted last: it answers for every path that nothing else took.
    if (settings.page_dir / "index.html").is_file():
        app.mount("/", StaticFiles(directory=settings.page_dir, html=True))
        return

    @app.get("/", include_in_schema=False)
    async def no_page() -> HTMLResponse:
        return HTMLResponse(_NO_PAGE, 503)


def _answer_with_problems(app: FastAPI) -> None:
    """Every error leaves as application/problem+json."""

    @app.exception_handler(Problem)
    async def problem(_: Request, error: Problem) -> JSONResponse:
        return error.response()

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        what = f"HTTP {error.status_code}"
        return Problem(error.status_code, error.detail or what, what, error.headers).response()

    @app.exception_handler(Exception)
    async def bug(_: Request, __: Exception) -> JSONResponse:
        return Problem(
            500, "Something broke here", "The log of the HTTP process says what."
        ).response()


class SecurityHeaders:
    """Puts `headers` on every answer that does not set them itself."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app, self.headers = app, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    given.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _security_headers(server_url: str, allowed_origins: Sequence[str]) -> Mapping[str, str]:
    policy = {
        "default-src": "'self'",
        "connect-src": " ".join(["'self'", *_livekit_sources(server_url)]),
        "media-src": "'self' blob:",
        "img-src": "'self' data:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(["'self'", *allowed_origins]),
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {what}" for name, what in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    }


def _livekit_sources(server_url: str) -> Sequence[str]:
    """Where the page may connect: LiveKit's WebSocket, and the HTTP with which it explains a
    refused one. LiveKit Cloud hands callers on to its regions' own hosts.
    """
    parts = urlsplit(server_url)
    secure = "s" if parts.scheme in {"wss", "https"} else ""
    cloud = (parts.hostname or "").endswith(".livekit.cloud")
    hosts = [parts.netloc, "*.livekit.cloud"] if cloud else [parts.netloc]
    return [f"{scheme}{secure}://{host}" for host in hosts for scheme in ("ws", "http")]


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SettingsError, naming the variable to change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            what = f"port {port} is taken: stop what uses it, or set HTTP_PORT to another"
        elif error.errno == errno.EACCES:
            what = f"port {port} is not allowed here: set HTTP_PORT to one above 1023"
        else:
            what = f"cannot listen on {host} ({error.strerror}): correct HTTP_HOST"
        raise SettingsError(what) from error


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Answers on `listener` until the process is told to stop. Raises ConfigurationError."""
    found = await find_connections(settings.connections_file, environment())
    for line in found.lines():
        log.info("connection %s", line)
    for warning in found.warnings:
        log.warning(warning)
    host, port = listener.getsockname()[:2]
    config = uvicorn.Config(
        build_app(settings, found),
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=settings.trusted_proxies is not None,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=_GRACE,
    )
    log.info("serving http://%s:%d", f"[{host}]" if ":" in host else host, port)
    await uvicorn.Server(config).serve([listener])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m agent.api",
        description="Serves the page to talk on, the tokens to join with and /healthz, /readyz.",
        epilog="It has no options: settings come from the environment and from .env;"
        " .env.example lists and explains them (HTTP_PORT, LIVEKIT_URL, ...).",
    )
    parser.parse_args(argv)
    # Uvicorn stops gracefully and then hands the signal on, to what stood here before it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        settings = load_settings()
        logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s %(message)s")
        # Its lines repeat whole addresses, and those may carry a key.
        logging.getLogger("httpx2").setLevel(logging.WARNING)
        with listen(settings.http_host, settings.http_port) as listener:
            asyncio.run(serve(settings, listener))
    except (SettingsError, ConfigurationError) as error:
        print(error, file=sys.stderr)  # noqa: T201  what a command line does
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
