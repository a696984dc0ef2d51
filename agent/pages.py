"""Serves the pages: the conversation, the page for frames and the demo's shop for visitors, and
the console for those who run it.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.responses import Response

from agent.page_files import ConsoleFiles, PageFiles
from agent.visitor_sites import VisitorSites, unknown_site

_CONVERSATION, _SHOP, _EMBED = "index.html", "shop.html", "embed.html"
_NO_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Patchbay</title>
<h1>The page is not built yet</h1>
<p>Run <code>make setup</code>, then start this process again. (The page is
read from the folder that the setting <code>PAGE_DIR</code> names.)</p></html>
"""


def content_policy(livekit: str, framed_by: Sequence[str]) -> str:
    """Returns the Content-Security-Policy of our pages, which pages of those origins may frame.

    `livekit`: LiveKit's address, as browsers reach it.
    """
    policy = {
        "default-src": "'self'",
        "connect-src": " ".join(["'self'", *_livekit_sources(livekit)]),
        "media-src": "'self' blob:",
        "img-src": "'self' data:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(["'self'", *framed_by]),
    }
    return "; ".join(f"{name} {value}" for name, value in policy.items())


def _livekit_sources(server_url: str) -> Sequence[str]:
    """Lists the addresses to which the page may connect, for `connect-src`.

    These are LiveKit's WebSocket, and its HTTP, which explains why a WebSocket was refused. LiveKit
    Cloud redirects callers to the hosts of its regions.
    """
    parts = urlsplit(server_url)
    secure = "s" if parts.scheme in {"wss", "https"} else ""
    cloud = (parts.hostname or "").endswith(".livekit.cloud")
    hosts = [parts.netloc, "*.livekit.cloud"] if cloud else [parts.netloc]
    return [f"{scheme}{secure}://{host}" for host in hosts for scheme in ("ws", "http")]


def add_console(app: FastAPI, folder: Path) -> None:
    """Adds the console below /ai-compute, if it is built."""
    if (folder / "index.html").is_file():
        app.mount("/ai-compute", ConsoleFiles(directory=folder, html=True))


def add_pages(
    app: FastAPI, folder: Path, sites: VisitorSites, livekit: str, *, is_demo: bool = False
) -> None:
    """Adds the pages to an app that has all its other routes.

    The conversation is at /talk, and at / unless `is_demo`: there is the shop then, and else none.
    """
    # Mounted last: it answers every path that no route has matched.
    if not (folder / _CONVERSATION).is_file():
        _add_no_page(app)
        return
    files = PageFiles(directory=folder, html=True, hidden=() if is_demo else (_SHOP,))
    # With HEAD, which monitors send, and which the files answer as well.
    page_at = partial(app.api_route, methods=["GET", "HEAD"], include_in_schema=False)

    @page_at("/talk")
    async def talk(request: Request) -> Response:
        return await files.get_response(_CONVERSATION, request.scope)

    @page_at("/embed/{key}")
    async def embed(key: str, request: Request) -> Response:
        site = await sites.site_of(key)
        if site is None:
            raise unknown_site()
        page = await files.get_response(_EMBED, request.scope)
        policy = content_policy(livekit, sorted(site.record.origins))
        page.headers["Content-Security-Policy"] = policy
        return page

    if is_demo:

        @page_at("/")
        async def shop(request: Request) -> Response:
            return await files.get_response(_SHOP, request.scope)

    app.mount("/", files)


def _add_no_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def no_page() -> HTMLResponse:
        return HTMLResponse(_NO_PAGE, 503)
