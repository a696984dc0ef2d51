"""Sites of visitors: what their keys open, how long they are remembered, what they count."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import SecretStr

from agent.call_settings import call_limits, within
from agent.dispatch import Dispatch, SiteTerms
from agent.receptionist.queue import CallMark, Lines
from agent.visitor_sites import VisitorSites
from config.settings import Settings
from llm_router.clock import utc_now
from llm_router.errors import StoreError
from llm_router.gateway.errors import Problem
from llm_router.store.sites import StoredSite
from llm_router.testing import ManualClock
from llm_router.voice.assistant import AssistantRecord
from llm_router.voice.site import parse_site

KEY = "site_0123456789"
SETTINGS = Settings(livekit_api_key="key", livekit_api_secret=SecretStr("s" * 32))


class Database:
    """Has one site, counts how often it is asked, and can be away."""

    def __init__(self, clock: ManualClock, **fields: object) -> None:
        record = parse_site({"name": "shop", "origins": ["https://shop.example"], **fields})
        now = utc_now(clock)
        self.site = StoredSite(record=record, key=KEY, version=1, created_at=now, updated_at=now)
        self.asked = 0
        self.is_away = False

    async def all(self) -> tuple[StoredSite, ...]:
        self.asked += 1
        await _others_first()
        if self.is_away:
            raise StoreError("the database is away")
        return (self.site,)


async def _others_first() -> None:
    """Lets the tasks run that are ready now."""
    turn = asyncio.Event()
    asyncio.get_running_loop().call_soon(turn.set)
    await turn.wait()


async def test_a_site_is_read_again_after_some_seconds() -> None:
    clock = ManualClock()
    database = Database(clock)
    sites = VisitorSites(database.all, clock=clock)
    for _ in range(100):
        assert await sites.site_of(KEY) == database.site
    assert database.asked == 1
    database.site = replace(
        database.site, record=database.site.record.model_copy(update={"is_active": False})
    )
    clock.advance(6)
    assert await sites.site_of(KEY) is None


async def test_a_known_site_stays_open_while_the_database_is_away() -> None:
    clock = ManualClock()
    database = Database(clock)
    sites = VisitorSites(database.all, clock=clock)
    await sites.site_of(KEY)
    database.is_away = True
    clock.advance(60)
    assert await sites.site_of(KEY) == database.site
    with pytest.raises(StoreError):
        await sites.site_of("site_another-one")


async def test_made_up_keys_reach_the_database_once_a_second_and_hold_up_no_site() -> None:
    clock = ManualClock()
    database = Database(clock)
    sites = VisitorSites(database.all, clock=clock)

    async def flood() -> None:
        made_up = (sites.site_of(f"site_made-up-{number}") for number in range(1_000))
        *found, known = await asyncio.gather(*made_up, sites.site_of(KEY))
        assert (set(found), known) == ({None}, database.site)

    await flood()
    await flood()
    assert database.asked == 1
    clock.advance(1)
    await flood()
    assert database.asked == 2


async def test_a_new_site_is_found_a_second_after_its_key_was_unknown() -> None:
    clock = ManualClock()
    database = Database(clock)
    sites = VisitorSites(database.all, clock=clock)
    assert await sites.site_of("site_abcdefghij") is None
    database.site = replace(database.site, key="site_abcdefghij")
    clock.advance(1)
    assert await sites.site_of("site_abcdefghij") == database.site


async def test_a_database_that_is_away_is_asked_once_a_second_for_sites_it_never_gave() -> None:
    clock = ManualClock()
    database = Database(clock)
    database.is_away = True
    sites = VisitorSites(database.all, clock=clock)
    for _ in range(100):
        with pytest.raises(StoreError):
            await sites.site_of(KEY)
    assert database.asked == 1
    database.is_away = False
    clock.advance(1)
    assert await sites.site_of(KEY) == database.site


async def test_what_is_no_key_is_not_looked_up() -> None:
    database = Database(ManualClock())
    sites = VisitorSites(database.all)
    for text in ("", "site_", "pb_0123456789", "site_' OR 1=1", "site_" + "x" * 200):
        assert await sites.site_of(text) is None
    assert database.asked == 0


async def test_calls_are_counted_for_the_visitor_and_for_the_site() -> None:
    database = Database(ManualClock(), calls_per_visitor=1, calls_per_minute=3)
    sites = VisitorSites(database.all)
    await sites.admit(database.site, "ann")
    with pytest.raises(Problem) as again:
        await sites.admit(database.site, "ann")
    assert again.value.status == 429
    await sites.admit(database.site, "ben")
    await sites.admit(database.site, "cleo")
    with pytest.raises(Problem) as fourth:
        await sites.admit(database.site, "dora")
    assert fourth.value.status == 429


async def test_a_call_may_spend_what_is_left_of_the_day_and_then_none_begins() -> None:
    clock = ManualClock()
    database = Database(clock, spend_per_day=10, longest_call=60, keep="nothing", modes=["text"])
    sites = VisitorSites(database.all, clock=clock)
    spent = replace(database.site, spent_today=7.5)
    assert await sites.admit(spent, "ann") == SiteTerms(
        site="shop",
        modes=frozenset({"text"}),
        max_seconds=60,
        max_cost=2.5,
        keep="nothing",
    )
    with pytest.raises(Problem) as refused:
        await sites.admit(replace(database.site, spent_today=10.0), "ann")
    assert refused.value.status == 503
    assert 0 < int((refused.value.headers or {})["Retry-After"]) <= 86_400


def test_a_call_is_as_short_cheap_and_private_as_its_site_says() -> None:
    terms = SiteTerms(site="shop", max_seconds=60, max_cost=2.5, keep="nothing")
    assistant = AssistantRecord(name="default", max_seconds=600.0, keep="transcript")
    own = within(assistant, terms, SETTINGS)
    assert (own.max_seconds, own.keep) == (60, "nothing")
    assert within(
        assistant, terms.model_copy(update={"max_seconds": 900}), SETTINGS
    ) == own.model_copy(update={"max_seconds": 600})
    assert within(assistant, None, SETTINGS) is assistant
    assert call_limits(SETTINGS, own, terms).cost == 2.5
    assert call_limits(SETTINGS, own).cost == SETTINGS.call_max_cost


def test_terms_reach_the_agent_with_the_call() -> None:
    dispatch = Dispatch(assistant="shop", terms=SiteTerms(site="shop", max_cost=2.5))
    assert Dispatch.from_metadata(dispatch.to_metadata()) == dispatch


def test_a_room_says_from_which_site_its_caller_is_also_while_they_wait() -> None:
    waiting = CallMark(caller="ab12", site="shop", waiting_since=3.5)
    called = replace(waiting, waiting_since=None)
    for mark in (waiting, called):
        assert CallMark.read(mark.to_metadata("desk"), "desk") == mark
    rooms = {"a": waiting.to_metadata("desk"), "b": called.to_metadata("desk"), "c": "desk cd34"}
    assert sorted(Lines.of(rooms, "desk").sites) == ["", "shop", "shop"]
    assert Lines.of(rooms, "desk").callers == ["ab12", "cd34"]
