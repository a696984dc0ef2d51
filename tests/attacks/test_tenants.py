"""One tenant's pulls, loads and sign-ins: they end in time, and hold up no other tenant's."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest

from llm_router.clock import utc_now
from llm_router.connections.access import SYSTEM
from llm_router.errors import BusyError, ConflictError
from llm_router.management.model_loads import ModelLoader, Progress
from llm_router.management.model_pulls import ModelPulls
from llm_router.providers.base import PullProgress
from llm_router.store.api_keys import ApiKeys
from llm_router.store.database import Database
from llm_router.store.sign_ins import SignIns
from llm_router.testing import ManualClock
from tests.contracts.api_process import admin_key, isolated_environ, serving
from tests.contracts.stores import VAULT

HOUR = 3600.0


async def never() -> AsyncGenerator[PullProgress, None]:
    yield PullProgress("pulling")
    await asyncio.Event().wait()


async def loading(_: Progress) -> None:
    await asyncio.Event().wait()


# ── Pulls ────────────────────────────────────────────────────────────────────────────────────────


async def test_an_owner_s_pulls_leave_places_to_others() -> None:
    pulls = ModelPulls()
    for number in range(4):
        await pulls.start("anna", "a", f"m{number}", never(), utc_now)
    with pytest.raises(BusyError, match="4 of them for you"):
        await pulls.start("anna", "another", "m", never(), utc_now)
    assert (await pulls.start("berta", "b", "m", never(), utc_now)).state == "pulling"
    await pulls.stop("a", "m0")
    assert (await pulls.start("anna", "a", "m", never(), utc_now)).state == "pulling"
    await pulls.aclose()


async def test_all_pulls_together_are_bounded() -> None:
    pulls = ModelPulls()
    for number in range(32):
        await pulls.start(f"owner {number}", "a", f"m{number}", never(), utc_now)
    with pytest.raises(BusyError):
        await pulls.start("anna", "a", "m", never(), utc_now)
    await pulls.aclose()


def pull_that_takes(steps: AsyncGenerator[PullProgress, None]) -> tuple[str, str, float]:
    """Follows a pull to its end; returns its state, its error and the seconds it took."""
    clock = ManualClock()

    async def main() -> tuple[str, str, float]:
        pulls = ModelPulls()
        pull = await pulls.start("anna", "a", "m", steps, lambda: utc_now(clock))
        while pull.finished_at is None:
            await clock.sleep(10.0)
        took = (pull.finished_at - pull.started_at).total_seconds()
        return pull.state, pull.error, took

    return clock.run(main())


def test_a_pull_without_progress_is_given_up() -> None:
    state, error, took = pull_that_takes(never())
    assert state == "failed"
    assert took == pytest.approx(300.0, abs=1.0)
    assert "no progress for 5 minutes" in error


def test_a_server_that_repeats_itself_makes_no_progress() -> None:
    async def same() -> AsyncGenerator[PullProgress, None]:
        while True:
            yield PullProgress("pulling", completed=1, total=2)
            await ManualClock().sleep(1.0)

    state, _, took = pull_that_takes(same())
    assert state == "failed"
    assert took == pytest.approx(301.0, abs=2.0)


def test_a_pull_that_drips_is_given_up_at_last() -> None:
    async def drip() -> AsyncGenerator[PullProgress, None]:
        for number in range(1_000_000):
            yield PullProgress("pulling", completed=number, total=1_000_000)
            await ManualClock().sleep(60.0)

    state, _, took = pull_that_takes(drip())
    assert state == "failed"
    assert took == pytest.approx(6 * HOUR, abs=1.0)


# ── Loads ────────────────────────────────────────────────────────────────────────────────────────


async def test_an_owner_s_load_does_not_hold_up_another_owner() -> None:
    loader = ModelLoader()
    loader.start("anna", "a", "m", loading)
    with pytest.raises(ConflictError, match="'m' is being loaded"):
        loader.start("anna", "a", "n", loading)
    with pytest.raises(ConflictError, match="'another model' is being loaded"):
        loader.start("anna", "a2", "n", loading)
    with pytest.raises(ConflictError, match="'m' is being loaded"):
        loader.start("berta", "a", "n", loading)
    assert loader.start("berta", "b", "n", loading).state == "loading"
    await loader.aclose()
    ended = [load.state for load in map(loader.latest_of, "ab") if load]
    assert ended == ["failed", "failed"]


def test_a_load_is_given_up_after_six_hours() -> None:
    clock = ManualClock()

    async def main() -> str:
        loader = ModelLoader()
        loader.start("anna", "a", "m", loading)
        await loader.wait()
        load = loader.latest_of("a")
        assert load
        return load.detail

    assert "not done in 6 hours" in clock.run(main())
    assert clock.now() == pytest.approx(6 * HOUR, abs=1.0)


async def test_all_loads_together_are_bounded_and_only_the_latest_are_remembered() -> None:
    loader = ModelLoader()
    for number in range(32):
        loader.start(f"owner {number}", f"c{number}", "m", loading)
    with pytest.raises(BusyError):
        loader.start("anna", "a", "m", loading)
    await loader.aclose()
    for number in range(200):
        loader.start("anna", f"d{number}", "m", loading)
        await loader.aclose()
    assert loader.latest_of("c0") is None
    assert loader.latest_of("d199") is not None


# ── Sign-ins ─────────────────────────────────────────────────────────────────────────────────────


async def signed_in(url: str, source: str, keys: list[str]) -> list[int]:
    transport = httpx2.AsyncHTTPTransport(local_address=source)
    async with httpx2.AsyncClient(base_url=url, transport=transport, timeout=20.0) as client:
        return [
            (await client.post("/api/session", json={"api_key": key})).status_code for key in keys
        ]


async def test_an_address_that_guesses_keys_holds_up_no_other(tmp_path: Path) -> None:
    async with serving(tmp_path, **isolated_environ(tmp_path)) as here:
        guesses = [f"pb_{number:040}" for number in range(25)]
        assert await signed_in(here.url, "127.0.0.2", guesses) == [401] * 20 + [429] * 5
        valid = [admin_key(tmp_path)]
        assert await signed_in(here.url, "127.0.0.2", valid) == [429]
        assert await signed_in(here.url, "127.0.0.3", valid) == [201]


async def test_a_key_has_a_bounded_number_of_sign_ins(database: Database) -> None:
    keys = ApiKeys(database)
    sign_ins = SignIns(database, keys, VAULT.derive("sign-ins"))
    key, _ = await keys.add(SYSTEM, "k", "viewer")
    cookies = [(await sign_ins.begin(key, ""))[0] for _ in range(102)]
    valid = [await sign_ins.authenticate(cookie) is not None for cookie in cookies]
    assert valid == [False] * 2 + [True] * 100
