"""The page's files are sent compressed to browsers that take that, and are cached by hash."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from agent.page_files import PageFiles

SCRIPT = "console.log('a page');" * 100
COPIES = {"": SCRIPT.encode(), "gzip": gzip.compress(SCRIPT.encode()), "br": b"brotli's bytes"}
HASHED = "/assets/index-BXq2oT0e.js"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    (tmp_path / "index.html").write_text("<h1>Talk</h1>")
    (tmp_path / "assets").mkdir()
    script = tmp_path / HASHED.removeprefix("/")
    script.write_text(SCRIPT)
    script.with_name(f"{script.name}.gz").write_bytes(COPIES["gzip"])
    script.with_name(f"{script.name}.br").write_bytes(COPIES["br"])
    app = FastAPI()
    app.mount("/", PageFiles(directory=tmp_path, html=True))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://patchbay.test") as client:
        yield client


@pytest.mark.parametrize(
    ("accepts", "sent"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("GZIP", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("*", "br"),
        ("identity", ""),
        ("gzip;q=0.000", ""),
        ("", ""),
    ],
)
async def test_a_browser_gets_the_smallest_copy_that_it_takes(
    client: httpx2.AsyncClient, accepts: str, sent: str
) -> None:
    async with client.stream("GET", HASHED, headers={"Accept-Encoding": accepts}) as answer:
        body = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers.get("content-encoding", "") == sent
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["vary"] == "Accept-Encoding"
    assert body == COPIES[sent]


async def test_a_file_named_by_its_hash_is_cached_for_ever_and_no_other(
    client: httpx2.AsyncClient,
) -> None:
    assert (await client.get(HASHED)).headers["cache-control"].endswith("immutable")
    page = await client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    same = await client.get("/", headers={"If-None-Match": page.headers["etag"]})
    assert (same.status_code, same.headers["cache-control"]) == (304, "no-cache")


async def test_a_file_without_a_compressed_copy_is_sent_as_it_is(
    client: httpx2.AsyncClient,
) -> None:
    page = await client.get("/", headers={"Accept-Encoding": "br, gzip"})
    assert page.text == "<h1>Talk</h1>"
    assert "content-encoding" not in page.headers
