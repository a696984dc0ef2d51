"""Reads single pages of servers, within bounds of size and time."""

import asyncio
from collections.abc import Mapping

import httpx2

from llm_router.errors import AddressRefusedError
from llm_router.net.bodies import ASK_FOR_PLAIN, read_body

_OK = 200
_FAULTS = (httpx2.HTTPError, httpx2.InvalidURL, AddressRefusedError, OSError, TimeoutError)


async def read_page(
    client: httpx2.AsyncClient,
    url: str,
    *,
    headers: Mapping[str, str],
    most_bytes: int,
    within: float,
) -> str | None:
    """Returns the text of the answer to a GET request.

    None for any other status than 200, for a page of more than `most_bytes`, for one that is not
    here `within` so many seconds, and for an address that the client's guard refuses. Sends
    `headers` to that address alone: no redirect is followed.
    """
    try:
        async with (
            asyncio.timeout(within),
            client.stream(
                "GET", url, headers={**ASK_FOR_PLAIN, **headers}, follow_redirects=False
            ) as answer,
        ):
            if answer.status_code != _OK:
                return None
            body = await read_body(answer, most_bytes)
    except _FAULTS:
        return None
    return None if len(body) > most_bytes else body.decode(errors="replace")
