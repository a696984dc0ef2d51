"""LiveKit agents of any make report their sessions, which the HTTP process stores as calls."""

import asyncio
import gzip
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import jwt
import pytest
import uvicorn
from fastapi import FastAPI

from agent.http_process import listen
from agent.insights.sessions import Sessions
from agent.insights.spans import read_logs, read_traces
from deploy import paths
from llm_router.clock import SystemClock, utc_now
from llm_router.connections.access import SYSTEM, Role
from llm_router.store.api_keys import ApiKeys
from llm_router.store.calls import CallStore
from llm_router.store.database import Database
from llm_router.voice.calls import Call, CallFilters, Keep
from tests.contracts import stock_session
from tests.contracts.test_api import KEY, SECRET, application, browser_of, problem, settings_for
from tests.reports import line, logs, span, traces

CLOCK = SystemClock()
TRACES, LOGS = "/observability/traces/otlp/v0", "/observability/logs/otlp/v0"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JOB = {"job_id": "AJ_1", "room_id": "RM_1", "lk.agent_name": "theirs"}
ASKED = {"lk.pii.user_transcript": "My card is 4111 1111 1111 1111."}


def now() -> float:
    return CLOCK.wall()


def asked(at: float, span_id: str = "01") -> Any:
    return span("user_turn", span_id, at, ASKED | JOB)


def ended(at: float) -> Any:
    return span("session_close", "0a", at, {"lk.close_reason": "participant_disconnected"} | JOB)


async def stored(calls: CallStore) -> list[Call]:
    found, _ = await calls.find(CallFilters(kind="other"))
    return found


# ── What is stored ───────────────────────────────────────────────────────────────────────────────


def sessions(database: Database, keep: Keep = "transcript") -> Sessions:
    return Sessions(CallStore(database), CLOCK, keep=keep)


async def note(to: Sessions, body: bytes, sender: str = "livekit") -> None:
    for news in read_traces(body):
        await to.note(sender, news)


async def test_a_session_is_a_call_while_it_goes_on_and_after_its_end(database: Database) -> None:
    to, calls = sessions(database), CallStore(database)
    await note(to, traces(asked(now())))
    await note(to, traces(asked(now())))  # an exporter sends again what was not confirmed
    [call] = await stored(calls)
    assert (call.state, call.assistant, call.worker) == ("agent", "theirs", "livekit")
    assert call.answered_at is not None
    _, [item] = await calls.read(call.id)
    assert item.text == "My card is [card number]."
    await note(to, traces(ended(now())))
    await note(to, traces(asked(now(), "02")))  # late, but words of it are stored
    call, items = await calls.read(call.id)
    assert (call.state, call.reason, len(items)) == ("ended", "caller left", 2)
    assert len(await stored(calls)) == 1


async def test_nothing_that_was_said_stays_unless_transcripts_stay(database: Database) -> None:
    to, calls = sessions(database, "facts"), CallStore(database)
    await note(to, traces(asked(now()), ended(now())))
    await note(to, traces(asked(now(), "02")))
    [call] = await stored(calls)
    assert (call.state, (await calls.read(call.id))[1]) == ("ended", [])


async def test_a_report_fills_in_what_no_span_has_said(database: Database) -> None:
    to, calls = sessions(database), CallStore(database)
    message = {"message": {"id": "item_1", "role": "USER", "content": [{"text": "Are you open?"}]}}
    report = read_logs(logs(line("chat item", now(), {"chat.item": message}), **JOB))
    await note(to, traces(asked(now())))
    for news in report:
        await to.note("livekit", news)
    for news in read_logs(logs(line("chat item", now(), {"chat.item": message}), job_id="AJ_2")):
        await to.note("livekit", news)
    texts = {
        call.room: [item.text for item in (await calls.read(call.id))[1]]
        for call in await stored(calls)
    }
    assert texts == {
        "livekit/AJ_1": ["My card is [card number]."],
        "livekit/AJ_2": ["Are you open?"],
    }


async def test_two_senders_cannot_write_into_each_others_sessions(database: Database) -> None:
    to, calls = sessions(database), CallStore(database)
    await note(to, traces(asked(now())), "key 1")
    await note(to, traces(ended(now())), "key 2")
    states = {call.worker: call.state for call in await stored(calls)}
    assert states == {"key 1": "agent", "key 2": "ended"}


async def test_a_session_that_says_it_is_old_is_a_day_old_at_most(database: Database) -> None:
    await note(sessions(database), traces(span("user_turn", "01", 5.0, ASKED | JOB)))
    [call] = await stored(CallStore(database))
    assert utc_now(CLOCK) - call.started_at < timedelta(days=1, minutes=1)


# ── Who may report ───────────────────────────────────────────────────────────────────────────────


def token(secret: str = SECRET, **claims: Any) -> str:
    usual = {"iss": KEY, "exp": int(now()) + 600, "observability": {"write": True}}
    return jwt.encode(usual | claims, secret, algorithm="HS256")


async def key(app: FastAPI, role: Role) -> str:
    keys = ApiKeys(app.state.services.database)
    _, made = await keys.add(SYSTEM, role, role, owner="" if role == "admin" else role)
    return made


async def report(
    client: httpx2.AsyncClient, bearer: str, body: bytes = b"", **headers: str
) -> httpx2.Response:
    sent = PROTOBUF | {"Authorization": f"Bearer {bearer}"} | headers
    return await client.post(TRACES, content=body or traces(asked(now())), headers=sent)


async def test_senders_need_a_key_or_the_grant_of_our_livekit() -> None:
    async with application(settings_for("ws://127.0.0.1:9")) as app, browser_of(app) as client:
        assert (await report(client, token())).status_code == 200
        assert (await report(client, await key(app, "worker"))).status_code == 200
        assert len(await stored(app.state.services.calls)) == 2
        assert (await report(client, await key(app, "viewer"))).status_code == 403
        for bad in (
            "",
            "pb_0123456789ab_" + "0" * 64,
            token("another secret of thirty-two bytes"),
            token(iss="another"),
            token(exp=1),
            token(observability={}),
            token(observability={"write": "yes"}),
        ):
            assert (await report(client, bad)).status_code == 401
        assert len(await stored(app.state.services.calls)) == 2


async def test_bodies_are_bounded_and_must_be_otlp() -> None:
    async with application(settings_for("ws://127.0.0.1:9")) as app, browser_of(app) as client:
        whole = gzip.compress(traces(asked(now())))
        zipped = {"Content-Encoding": "gzip"}
        assert (await report(client, token(), whole, **zipped)).status_code == 200
        bomb = gzip.compress(b"\0" * 9_000_000)
        assert (await report(client, token(), bomb, **zipped)).status_code == 413
        for body, headers in (
            (b"no gzip", zipped),
            (b"\xff" * 100, {}),
            (whole, {"Content-Encoding": "br"}),
        ):
            answer = await report(client, token(), body, **headers)
            assert answer.status_code == 422
            assert problem(answer)
        for path in ("/observability/metrics/otlp/v0", "/observability/recordings/v0"):
            sent = {"Authorization": f"Bearer {token()}"}
            assert (await client.post(path, content=b"x" * 1000, headers=sent)).status_code == 200


# ── A stock agent ────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, FastAPI]]:
    async with application(settings_for("ws://127.0.0.1:9", call_retention="transcript")) as app:
        listener = listen("127.0.0.1", 0)
        config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", app
        finally:
            server.should_exit = True
            await running


@pytest.mark.timeout(120)
async def test_a_stock_agent_that_knows_our_address_is_seen() -> None:
    async with served() as (address, app):
        environ = {
            "PATH": os.environ["PATH"],
            "LIVEKIT_OBSERVABILITY_URL": address,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
        }
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", stock_session.__name__, cwd=paths.ROOT, env=environ
        )
        assert await program.wait() == 0
        calls = app.state.services.calls
        [call] = await stored(calls)
        assert call.room == f"livekit/{stock_session.JOB}"
        assert (call.assistant, call.state) == ("stock", "ended")
        _, items = await calls.read(call.id)
        answers = [item for item in items if item.role == "assistant"]
        assert [item.text for item in answers] == [stock_session.ANSWER]
        assert answers[0].receipt["first_word"] > 0
