"""Valid API keys are remembered for a second, and no longer than they are valid."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from llm_router.clock import checkpoint
from llm_router.errors import ExpiredError, StoreError
from llm_router.store.api_keys import ApiKey, ApiKeys
from llm_router.store.database import Database
from llm_router.store.key_memory import KeyMemory
from llm_router.testing import ManualClock

GOOD = "a key"
OTHER = "another that is valid"


class Keys(ApiKeys):
    """Keys of which one is valid; counts how often it is asked, and answers after a tenth."""

    def __init__(self, clock: ManualClock, expires_in: float | None = None) -> None:
        super().__init__(Database("sqlite:///never-opened.sqlite3"), clock)
        self.asked = 0
        self.renewed: list[int] = []
        """How many keys each renewal asked for."""
        self.is_revoked = False
        self.is_away = False
        begun = datetime.fromtimestamp(clock.wall(), UTC)
        until = None if expires_in is None else begun + timedelta(seconds=expires_in)
        self.key = ApiKey(
            id="k", name="k", last4="", role="operator", created_by="t", created_at=begun,
            expires_at=until,
        )  # fmt: skip

    async def authenticate(self, text: str) -> ApiKey | None:
        self.asked += 1
        is_valid = text in {GOOD, OTHER} and not self.is_revoked
        await self._clock.sleep(0.1)
        if self.is_away:
            raise StoreError("no answer")
        if self.key.state(datetime.fromtimestamp(self._clock.wall(), UTC)) == "expired":
            raise ExpiredError("expired")
        return replace(self.key, id=text) if is_valid else None

    async def get_all_valid(self, ids: Collection[str]) -> Mapping[str, ApiKey]:
        self.asked += 1
        self.renewed.append(len(ids))
        await self._clock.sleep(0.1)
        if self.is_away:
            raise StoreError("no answer")
        return {} if self.is_revoked else {id_: replace(self.key, id=id_) for id_ in ids}

    async def note_use(self, keys: Collection[ApiKey]) -> None:
        """Notes nothing: there is no database."""


def test_a_crowd_with_one_key_asks_once() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        memory = KeyMemory(keys, clock)
        found = await asyncio.gather(*(memory.authenticate(GOOD) for _ in range(50)))
        assert [key.id for key in found if key] == [GOOD] * 50
        assert keys.asked == 1

    clock.run(main())


def test_a_crowd_fails_together_when_the_database_does_not_answer() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        keys.is_away = True
        memory = KeyMemory(keys, clock)
        asking = (memory.authenticate(GOOD) for _ in range(50))
        failures = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(failure) for failure in failures} == {StoreError}
        assert keys.asked == 1
        keys.is_away = False
        assert await memory.authenticate(GOOD)

    clock.run(main())


def test_a_key_is_asked_for_again_after_a_second() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        memory = KeyMemory(keys, clock)
        await memory.authenticate(GOOD)
        keys.is_revoked = True  # by another process
        await clock.sleep(0.9)
        assert await memory.authenticate(GOOD)
        await clock.sleep(0.2)
        assert await memory.authenticate(GOOD) is None

    clock.run(main())


def test_a_change_by_this_process_holds_at_once() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        memory = KeyMemory(keys, clock)
        await memory.authenticate(GOOD)
        keys.is_revoked = True
        keys.changes += 1
        assert await memory.authenticate(GOOD) is None

    clock.run(main())


def test_an_answer_that_a_change_has_overtaken_is_not_remembered() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        memory = KeyMemory(keys, clock)
        asking = asyncio.create_task(memory.authenticate(GOOD))
        await clock.sleep(0.05)
        keys.is_revoked = True
        keys.changes += 1
        assert await asking
        assert await memory.authenticate(GOOD) is None

    clock.run(main())


def test_a_key_that_is_not_valid_is_asked_for_each_time() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        memory = KeyMemory(keys, clock)
        assert [await memory.authenticate("another") for _ in range(3)] == [None] * 3
        assert keys.asked == 3

    clock.run(main())


def test_a_key_expires_while_it_is_remembered() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock, expires_in=0.5)
        memory = KeyMemory(keys, clock)
        assert await memory.authenticate(GOOD)
        await clock.sleep(0.5)
        try:
            await memory.authenticate(GOOD)
        except ExpiredError:
            return
        raise AssertionError("it is remembered")

    clock.run(main())


def test_no_request_with_a_busy_key_waits_for_the_database() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        memory = KeyMemory(keys, clock)
        await memory.authenticate(GOOD)
        for _ in range(20):
            await clock.sleep(0.3)
            asked_at = clock.now()
            assert await memory.authenticate(GOOD)
            assert clock.now() == asked_at
        assert keys.asked > 5
        await clock.sleep(0.2)
        keys.is_revoked = True
        await clock.sleep(0.6)
        assert await memory.authenticate(GOOD)
        await clock.sleep(0.2)
        assert await memory.authenticate(GOOD) is None, "a renewal has learned it"
        await memory.aclose()

    clock.run(main())


def test_a_renewal_lets_the_request_that_has_it_made_go_first() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        memory = KeyMemory(keys, clock)
        await memory.authenticate(GOOD)
        await clock.sleep(0.6)
        assert await memory.authenticate(GOOD)
        for _ in range(10):
            await checkpoint()
        assert keys.asked == 1
        await clock.sleep(0.1)
        assert keys.asked == 2
        await memory.aclose()

    clock.run(main())


def test_the_keys_in_use_are_renewed_together() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        memory = KeyMemory(keys, clock)
        await memory.authenticate(GOOD)
        await clock.sleep(0.3)
        await memory.authenticate(OTHER)
        for _ in range(10):
            await clock.sleep(0.2)
            assert await memory.authenticate(GOOD)
            assert await memory.authenticate(OTHER)
        assert set(keys.renewed[1:]) == {2}
        assert keys.asked == 2 + len(keys.renewed), "each was asked for once by itself"
        for _ in range(10):
            await clock.sleep(0.2)
            assert await memory.authenticate(GOOD)
        assert keys.renewed[-1] == 1, "a key without requests is not renewed"
        await memory.aclose()

    clock.run(main())


def test_a_database_that_is_away_during_a_renewal_fails_no_request() -> None:
    clock = ManualClock()

    async def main() -> None:
        keys = Keys(clock)
        memory = KeyMemory(keys, clock)
        await memory.authenticate(GOOD)
        keys.is_away = True
        await clock.sleep(0.6)
        assert await memory.authenticate(GOOD)
        await clock.sleep(0.2)
        assert await memory.authenticate(GOOD)
        keys.is_away = False
        await clock.sleep(1.0)
        assert await memory.authenticate(GOOD)
        await memory.aclose()

    clock.run(main())
