"""LiveKit, a webhook's receiver or a collector of traces hangs, refuses or is slow."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from agent.telemetry import send_traces
from tests.attacks.relay import LONGEST, TROUBLES, Relay, Trouble, relay_to, slow
from tests.contracts.api_process import admin_key, isolated_environ, serving

EMPTY = b"HTTP/1.1 200 OK\r\nContent-Type: application/protobuf\r\nContent-Length: 0\r\n\r\n"
"""The answer of a LiveKit without rooms, of a receiver, and of a collector."""


@asynccontextmanager
async def answering() -> AsyncIterator[Relay]:
    """Runs a server that answers every request with `EMPTY`, and yields a relay to it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(EMPTY)
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        relay_to(server.sockets[0].getsockname()[1]) as relay,
    ):
        yield relay


@asynccontextmanager
async def api(folder: Path, **variables: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(folder, **isolated_environ(folder) | variables) as here:
        headers = {"Authorization": f"Bearer {admin_key(folder)}"}
        async with httpx2.AsyncClient(
            base_url=here.url, headers=headers, timeout=LONGEST
        ) as client:
            yield client


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_livekit_in_trouble_delays_only_tokens_and_no_longer_than_5_s(
    tmp_path: Path, trouble: Trouble
) -> None:
    async with answering() as relay:
        livekit = {"LIVEKIT_URL": f"ws://127.0.0.1:{relay.port}"}
        async with api(tmp_path, **livekit) as client:
            assert (await client.post("/token")).status_code == 201
            await trouble(relay)
            # Requests that wait longer than `LONGEST` raise here.
            tokens = [client.post("/token") for _ in range(5)]
            others = [client.get(path) for path in ("/api/me", "/healthz", "/api/demo")]
            answers = await asyncio.gather(*tokens, *others, client.get("/readyz"))
            expected = 201 if trouble is slow else 503
            assert [answer.status_code for answer in answers[:5]] == [expected] * 5
            assert [answer.status_code for answer in answers[5:8]] == [200] * 3
            assert answers[8].status_code == 503  # in any case: there is no worker here
            await relay.answer()
            assert (await client.post("/token")).status_code == 201


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_receiver_in_trouble_delays_only_its_own_events(
    tmp_path: Path, trouble: Trouble
) -> None:
    async with answering() as relay, api(tmp_path) as client:
        hook = {
            "name": "pager",
            "url": f"http://127.0.0.1:{relay.port}/hook",
            "events": ["connection.status_changed"],
        }
        made = (await client.post("/api/webhooks", json=hook)).json()
        path = f"/api/webhooks/{made['id']}/test"
        assert (await client.post(path)).json()["status"] == "delivered"
        await trouble(relay)
        tried, me = await asyncio.gather(client.post(path), client.get("/api/me"))
        assert me.status_code == 200
        assert tried.json()["status"] == ("delivered" if trouble is slow else "given_up")


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_collector_in_trouble_costs_a_call_nothing(
    trouble: Trouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with answering() as relay:
        provider = await asyncio.to_thread(send_traces, f"http://127.0.0.1:{relay.port}")
        tracer = provider.get_tracer("test")
        await trouble(relay)
        # More than the queue holds: what does not fit is dropped, and no span waits for its place.
        for _ in range(3_000):
            tracer.start_span("a").end()
        async with asyncio.timeout(60):
            await asyncio.to_thread(provider.shutdown)
