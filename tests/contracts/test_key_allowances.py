"""Tests the rates and the monthly budgets of API keys."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from sqlalchemy import select

from llm_router.api_client import ApiClient
from llm_router.cli.batch import BatchRun
from llm_router.cli.batch_files import BatchResults, read_lines
from llm_router.connections.access import SYSTEM
from llm_router.store.api_keys import ApiKey, ApiKeys, KeyLimits
from llm_router.store.database import Database
from llm_router.store.key_usage import KeyUse
from llm_router.store.tables import api_key_usage
from llm_router.store.usage import UsageLog
from llm_router.testing import ManualClock
from llm_router.testing.server import FaultyServer
from tests.contracts.databases import Files, opened
from tests.contracts.gateway import HOST, Gateway, gateway_on, openai_error, problem
from tests.contracts.redis_server import opened_counters, running_redis
from tests.contracts.usage_records import attempt

QUESTION = {"model": "auto", "messages": [{"role": "user", "content": "Hi?"}]}
COMPLETIONS = "/v1/chat/completions"
LOCAL = ("127.0.0.0/8",)


@pytest.fixture
async def gateway(files: Files) -> AsyncIterator[Gateway]:
    async with gateway_on(await files.new(), allowed_addresses=LOCAL) as gateway:
        yield gateway


async def limited(gateway: Gateway, **limits: Any) -> ApiKey:
    """Adds a key of `kim` with limits."""
    key, gateway.keys["kim"] = await gateway.services.keys.add(
        SYSTEM, "kim", "editor", owner="kim", team="red", limits=KeyLimits(**limits)
    )
    return key


# ── Requests a minute ────────────────────────────────────────────────────────────────────────────


async def test_a_key_has_a_rate_of_its_own_whichever_form_it_is_sent_in(gateway: Gateway) -> None:
    await limited(gateway, rate_limit_rpm=2)
    key = gateway.keys["kim"]
    forms = [{"x-api-key": key}, {"Authorization": f"Bearer {key}"}] * 2
    answers = [await gateway.call("", "GET", "/v1/models", headers=form) for form in forms]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert openai_error(answers[2], 429)["code"] == "rate_limit_exceeded"
    assert 0 < int(answers[2].headers["retry-after"]) <= 60
    assert (await gateway.call("editor", "GET", "/v1/models")).status_code == 200


async def test_processes_with_one_redis_count_a_keys_requests_together(
    files: Files, tmp_path: Path
) -> None:
    url = await files.new()
    async with running_redis(tmp_path) as port:
        address = f"redis://127.0.0.1:{port}/0"
        async with (
            opened_counters(address) as counters,
            opened_counters(address) as others,
            gateway_on(url, counters=counters) as one,
            opened(url) as database,
        ):
            other = replace(one.services, keys=ApiKeys(database), counters=others)
            await limited(one, rate_limit_rpm=3)
            statuses = []
            for services in (one.services, other, one.services, other):
                one.app.state.services = services
                statuses.append((await one.call("kim", "GET", "/me")).status_code)
    assert statuses == [200, 200, 200, 429]


# ── Tokens and money ─────────────────────────────────────────────────────────────────────────────


async def test_what_a_keys_replies_cost_is_counted_for_it_until_its_budget_is_used_up(
    gateway: Gateway,
) -> None:
    key = await limited(gateway, monthly_budget=0.5)
    async with FaultyServer() as server:
        made = await gateway.connection(
            "kim", base_url=server.base_url, price_in=10**5, price_out=10**5
        )
        assert (await gateway.call("kim", "POST", COMPLETIONS, QUESTION)).status_code == 200
        await gateway.services.chat_router.aclose()  # which writes its usage
        gateway.services.key_memory.forget()
        refused = await gateway.call("kim", "POST", COMPLETIONS, QUESTION)
        error = openai_error(refused, 429)
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
        assert "has used up its monthly budget of 0.5" in error["message"]
        assert refused.headers["x-should-retry"] == "false"

        path = f"/connections/{made['id']}/generate"
        answer = await gateway.call("kim", "POST", path, {"prompt": "Hi?"})
        assert "on, or when an admin" in problem(answer, 429, "budget-reached")["detail"]
        assert (await gateway.call("kim", "GET", "/v1/models")).status_code == 200
        assert (await gateway.call("kim", "GET", "/connections")).status_code == 200
        assert len(server.requests) == 1

        listed = (await gateway.call("admin", "GET", "/keys")).json()["items"]
        [used] = [item["used_this_month"] for item in listed if item["name"] == "kim"]
        assert used["cost"] >= 0.5
        assert used["tokens"] > 0
        await gateway.call("admin", "PATCH", f"/keys/{key.id}", {"monthly_budget": 10**6})
        assert (await gateway.call("kim", "POST", path, {"prompt": "Hi?"})).status_code == 200
    after = (await gateway.services.keys.find(SYSTEM))[0]
    [kim] = [key for key in after if key.name == "kim"]
    assert kim.used_this_month.tokens > used["tokens"]


async def test_openais_client_says_that_the_quota_is_used_up_and_does_not_ask_again(
    gateway: Gateway,
) -> None:
    await limited(gateway, monthly_tokens=0)
    asked: list[object] = []

    async def note(request: object) -> None:
        asked.append(request)

    gateway.client.event_hooks = {"request": [note]}
    client = openai.AsyncOpenAI(
        base_url=f"{HOST}/v1", api_key=gateway.keys["kim"], http_client=gateway.client
    )
    with pytest.raises(openai.RateLimitError, match="0 tokens a month") as caught:
        await client.chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "Hi?"}]
        )
    assert caught.value.code == "insufficient_quota"
    assert len(asked) == 1


async def test_a_key_with_limits_tests_a_connection_with_the_usual_question_alone(
    gateway: Gateway,
) -> None:
    key = await limited(gateway, monthly_tokens=10**6)
    async with FaultyServer() as server:
        made = await gateway.connection("kim", base_url=server.base_url)
        path = f"/connections/{made['id']}/test"
        for body in ({"prompt": "A novel, please."}, {"max_tokens": 65}):
            refused = problem(await gateway.call("kim", "POST", path, body), 403, "forbidden")
            assert "leave prompt and max_tokens out" in refused["detail"]
        assert not server.requests
        assert (await gateway.call("kim", "POST", path)).json()["ok"] is True
        assert len(server.requests) == 1
        await gateway.call("admin", "PATCH", f"/keys/{key.id}", {"monthly_tokens": 0})
        problem(await gateway.call("kim", "POST", path), 429, "budget-reached")
        assert len(server.requests) == 1


@pytest.fixture
async def timed(files: Files) -> AsyncIterator[tuple[Gateway, ManualClock]]:
    """The API, and the clock by which its keys are counted."""
    clock = ManualClock()
    url = await files.new()
    async with (
        opened(url) as database,
        gateway_on(url, keys=ApiKeys(database, clock), clock=clock) as gateway,
    ):
        yield gateway, clock


async def use(gateway: Gateway, key: ApiKey, **facts: Any) -> None:
    facts = {"at": gateway.services.now(), "duration": 0.0, "api_key_id": key.id, **facts}
    await UsageLog(gateway.services.database).append([attempt(**facts)])
    gateway.services.key_memory.forget()


@pytest.mark.parametrize(
    ("limits", "code", "longest"),
    [
        ({"rate_limit_tpm": 100}, "rate_limit_exceeded", timedelta(minutes=1)),
        ({"monthly_tokens": 100}, "insufficient_quota", timedelta(days=31)),
    ],
)
async def test_a_key_without_tokens_waits_for_the_next_period(
    timed: tuple[Gateway, ManualClock], limits: Mapping[str, Any], code: str, longest: timedelta
) -> None:
    gateway, clock = timed
    key = await limited(gateway, **limits)
    await use(gateway, key, tokens_in=60, tokens_out=39)
    openai_error(await gateway.call("kim", "POST", COMPLETIONS, {}), 400)
    await use(gateway, key, tokens_in=1)
    refused = await gateway.call("kim", "POST", COMPLETIONS, {})
    assert openai_error(refused, 429)["code"] == code
    openai_error(await gateway.call("editor", "POST", COMPLETIONS, {}), 400)
    wait = int(refused.headers["retry-after"])
    assert 0 < wait <= longest.total_seconds()
    for seconds, status in ((wait - 1, 429), (1, 400)):
        clock.advance(seconds)
        gateway.services.key_memory.forget()
        openai_error(await gateway.call("kim", "POST", COMPLETIONS, {}), status)


async def test_a_batch_whose_budget_is_used_up_leaves_its_requests_at_once(
    timed: tuple[Gateway, ManualClock], tmp_path: Path
) -> None:
    gateway, clock = timed
    await limited(gateway, monthly_tokens=0)
    lines = [{"custom_id": each, "url": COMPLETIONS, "body": QUESTION} for each in "ab"]
    (tmp_path / "in").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = BatchResults(tmp_path / "out")
    transport = httpx2.ASGITransport(app=gateway.app)
    async with ApiClient(HOST, gateway.keys["kim"], transport=transport) as api:
        # The clock stands still: a request that waits would never end.
        await BatchRun(api, read_lines(tmp_path / "in"), out, clock).run(1, lambda: None)
    out.close()
    assert out.done == {}


# ── Counting ─────────────────────────────────────────────────────────────────────────────────────

NOON = datetime(2026, 5, 31, 12, 0, 30, tzinfo=UTC)


async def used(database: Database, at: datetime) -> tuple[KeyUse, KeyUse]:
    """Returns the use of the only key in the minute and the month of that time."""
    clock = ManualClock()
    clock.advance(at.timestamp() - clock.wall())
    ((key,), _) = await ApiKeys(database, clock).find(SYSTEM)
    return key.used_this_minute, key.used_this_month


async def test_attempts_count_in_the_periods_in_which_they_ended(database: Database) -> None:
    key, _ = await ApiKeys(database).add(SYSTEM, "kim", "viewer")
    mine: dict[str, Any] = {"api_key_id": key.id, "tokens_in": 3, "tokens_out": 4, "cost": 0.5}
    log = UsageLog(database)
    first = [
        attempt(at=NOON, duration=1.0, **mine),
        attempt(at=NOON, duration=40.0, **mine),  # ends in the next minute
        attempt(at=NOON, duration=1.0, **mine | {"cost": None}),
        attempt(at=NOON, duration=1.0, **mine | {"api_key_id": ""}),
        attempt(at=NOON, duration=1.0, **mine | {"api_key_id": "another"}),
    ]
    await log.append(first)
    await log.append(first, again=True)  # it was not known whether they were stored
    await log.append([attempt(at=NOON, duration=2.0, **mine)])
    may = KeyUse(28, 1.5)
    assert await used(database, NOON) == (KeyUse(21, 1.0), may)
    assert await used(database, NOON + timedelta(minutes=1)) == (KeyUse(7, 0.5), may)
    evening = NOON + timedelta(hours=11, minutes=59)
    await log.append([attempt(at=evening, duration=60.0, **mine)])  # ends in June
    assert await used(database, evening) == (KeyUse(), may)
    assert await used(database, NOON + timedelta(days=1)) == (KeyUse(), KeyUse(7, 0.5))
    async with database.reading() as db:
        minutes = select(api_key_usage).where(api_key_usage.c.unit == "minute")
        assert len((await db.execute(minutes)).all()) == 1  # older ones are removed


@pytest.mark.parametrize(
    "limits",
    [
        {"rate_limit_rpm": 0},
        {"rate_limit_rpm": 1.5},
        {"rate_limit_tpm": -1},
        {"monthly_budget": -1},
        {"monthly_budget": "1e999"},
        {"monthly_tokens": 2**40},
    ],
)
async def test_amounts_that_mean_nothing_are_refused(
    gateway: Gateway, limits: Mapping[str, Any]
) -> None:
    body = {"name": "x", "role": "viewer", **limits}
    problem(await gateway.call("admin", "POST", "/keys", body), 422)


@pytest.mark.parametrize(
    "limits", [{"rate_limit_rpm": 5}, {"rate_limit_tpm": 5}, {"monthly_budget": 5}]
)
async def test_an_admin_with_a_budget_or_a_rate_cannot_lift_it(
    gateway: Gateway, limits: Mapping[str, Any]
) -> None:
    key, gateway.keys["kim"] = await gateway.services.keys.add(
        SYSTEM, "kim", "admin", limits=KeyLimits(**limits)
    )
    changes = dict.fromkeys(limits)
    problem(await gateway.call("kim", "PATCH", f"/keys/{key.id}", changes), 403, "forbidden")
