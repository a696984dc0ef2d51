"""A bare relay, the least that a gateway in Python does: it passes requests and bytes on.

As a program: `python -m bench.gateway.relay PORT BASE_URL`. It reads nothing of a reply, chooses
nothing, checks no key and survives no fault.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any

import httpx2
import uvicorn


class Relay:
    """Sends each request on to `base_url`."""

    def __init__(self, base_url: str) -> None:
        self._url = f"{base_url}/chat/completions"
        self._client: httpx2.AsyncClient | None = None

    async def __call__(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        is_whole = False
        while not is_whole:
            message = await receive()
            body += message.get("body", b"")
            is_whole = not message.get("more_body")
        if self._client is None:
            limits = httpx2.Limits(max_connections=None)
            self._client = httpx2.AsyncClient(timeout=None, limits=limits)
        headers = {"content-type": "application/json"}
        async with self._client.stream(
            "POST", self._url, content=body, headers=headers
        ) as response:
            kind = response.headers["content-type"].encode()
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status_code,
                    "headers": [(b"content-type", kind)],
                }
            )
            async for piece in response.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})


if __name__ == "__main__":
    logging.disable(logging.ERROR)  # broken streams are intended here
    uvicorn.run(
        Relay(sys.argv[2]),
        port=int(sys.argv[1]),
        log_config=None,
        access_log=False,
        lifespan="off",
        backlog=1024,
    )
