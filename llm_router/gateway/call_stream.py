"""Sends calls as server-sent events while they go on: one call, or the changes of all.

Each stream reads the store once a second, whichever process writes the call. It ends by itself
after a while, so that a revoked key reads no further; a client comes back with `Last-Event-ID`.
"""

from collections.abc import Iterable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from llm_router.clock import Clock, utc_now
from llm_router.errors import RouterError
from llm_router.gateway.event_stream import END, Events, make_event, make_problem
from llm_router.gateway.schemas.calls import CallItemRead, CallRead
from llm_router.management.following import EVERY, CallNews, follow
from llm_router.store.calls import CallStore
from llm_router.voice.calls import Call

_SLACK = timedelta(seconds=5)
"""Time for which changes are read again: the clocks of processes differ, and one may be slow to
commit."""
_PING_AFTER = 15
"""Readings without news after which a comment keeps proxies from closing the connection."""


async def follow_call(
    calls: CallStore, call_id: str, after: int, clock: Clock, seconds: float
) -> Events:
    """Yields `call` when the state of the call changes, `item` for each one after `after`, and
    `end`. The id of an event is the number of the last item before it.
    """
    quiet = 0
    try:
        async with aclosing(
            follow(calls, call_id, clock, after=after, seconds=seconds)
        ) as all_news:
            async for news in all_news:
                quiet = 0 if news else quiet + 1
                if news:
                    yield _news_event(news)
                elif quiet % _PING_AFTER == 0:
                    yield ": \n\n"
    except RouterError as error:
        yield make_problem(error)


async def follow_calls(
    calls: CallStore, since: datetime | None, clock: Clock, seconds: float
) -> Events:
    """Yields `call` for each call that goes on, then for each that changes, and `removed`.

    The id of an event is the time of the change, in microseconds since 1970.
    """
    until = clock.now() + seconds
    since = since or utc_now(clock)
    shown: dict[str, datetime] = {}
    going_on: set[str] = set()
    quiet = 0
    try:
        while True:
            changed, gone = await calls.changes(since - _SLACK, going_on)
            news = [call for call in changed if shown.get(call.id) != call.updated_at]
            for call in news:
                since = max(since, call.updated_at)
                yield _event(_as_id(since), "call", CallRead.of(call))
            for call_id in sorted(gone):
                yield _event(_as_id(since), "removed", _Removed(id=call_id))
            going_on = _after(going_on - gone, news)
            shown = {call.id: call.updated_at for call in changed}
            if clock.now() >= until:
                return
            quiet = 0 if news or gone else quiet + 1
            if quiet == _PING_AFTER:
                quiet = 0
                yield ": \n\n"
            await clock.sleep(EVERY)
    except RouterError as error:
        yield make_problem(error)


def time_of(event_id: str) -> datetime:
    """Returns the time that the id of an event names."""
    return datetime.fromtimestamp(int(event_id) / 1e6, UTC)


class _Removed(BaseModel):
    id: str


def _after(going_on: set[str], news: Iterable[Call]) -> set[str]:
    ended = {call.id for call in news if call.state == "ended"}
    return (going_on | {call.id for call in news}) - ended


def _news_event(news: CallNews) -> str:
    if news.item:
        return _event(str(news.after), "item", CallItemRead.of(news.item))
    event_id = END if news.kind == "end" else str(news.after)
    return _event(event_id, news.kind, CallRead.of(news.call))


def _as_id(time: datetime) -> str:
    return str(int(time.timestamp() * 1e6))


def _event(event_id: str, name: str, data: BaseModel) -> str:
    return make_event(event_id, name, data.model_dump_json())
