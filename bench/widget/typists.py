"""Has many visitors type at the same moment without a browser, so that the server is measured."""

import asyncio
import json
import math
import time
from dataclasses import dataclass

import aiohttp

_PATIENCE = 20.0
"""Seconds after which a visitor has waited in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """The HTTP process, and the public key of a site whose page the visitors have open."""

    server: str
    key: str
    origin: str


async def type_at_once(shop: Shop, number: int, question: str, answer: str) -> list[float]:
    """Returns for each of so many visitors the seconds until the answer's first word has come.

    Infinity for one who waits in vain. Each begins a conversation with this message, from an
    address of their own, as the widget does. The HTTP process must trust the headers of this
    machine.
    """
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(shop.server, connector=connector) as session:
        visits = (_visit(session, shop, each, question, answer) for each in range(number))
        return await asyncio.gather(*visits)


async def _visit(
    session: aiohttp.ClientSession, shop: Shop, number: int, question: str, answer: str
) -> float:
    began = time.monotonic()
    headers = {"Origin": shop.origin, "X-Forwarded-For": f"203.0.113.{number}"}
    site = {"site": shop.key}
    try:
        async with asyncio.timeout(_PATIENCE):
            begun = session.post(
                "/api/visitor/conversations", params=site, headers=headers, json={}
            )
            async with begun as response:
                token = (await response.json())["token"]
            sent = session.post(
                "/api/visitor/conversation/messages",
                params=site,
                headers={**headers, "Authorization": f"Bearer {token}"},
                json={"id": f"message-{number:04}", "text": question},
            )
            async with sent as response:
                response.raise_for_status()
                async for line in response.content:
                    if line.startswith(b"data: ") and answer in _text(line):
                        return time.monotonic() - began
    except (TimeoutError, aiohttp.ClientError):
        return math.inf
    return math.inf


def _text(line: bytes) -> str:
    return str(json.loads(line.removeprefix(b"data: ")).get("text", ""))
