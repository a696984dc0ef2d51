"""Stores the sessions of other LiveKit agents as calls of the kind `other`."""

from dataclasses import replace
from datetime import datetime, timedelta

from agent.insights.spans import SessionNews
from llm_router.clock import Clock, utc_now
from llm_router.store.calls import CallStore
from llm_router.voice.calls import Call, CallAgent, CallFacts, CallFilters, CallItem, Keep
from llm_router.voice.redaction import redact, redact_tools

_EPOCH = 1
_ITEMS_FROM = "items_from"
"""Key in a call's metadata: whether its items are those of spans or of the report."""
_EARLIEST = timedelta(days=1)
"""A session that says that it began earlier is taken to have begun then."""


class Sessions:
    """Writes what agents report. `keep`, `redacts_cards`: as for calls of our own."""

    def __init__(
        self, calls: CallStore, clock: Clock, *, keep: Keep, redacts_cards: bool = True
    ) -> None:
        self._calls = calls
        self._clock = clock
        self._keep = keep
        self._redacts_cards = redacts_cards

    async def note(self, sender: str, news: SessionNews) -> None:
        """Stores the news of a session, which may come again. Raises StoreError."""
        now = utc_now(self._clock)
        call = await self._call_of(sender, news, now)
        if call is None:
            return
        if news.items and call.metadata.get(_ITEMS_FROM, news.source) == news.source:
            items = [self._item(item, call, now) for item in news.items]
            await self._calls.append(call.id, items, now)
        if call.state == "ended":
            return
        await self._calls.note(call.id, _EPOCH, now, answered=bool(news.items))
        if news.ended is not None:
            await self._calls.end(call.id, news.reason, now)

    async def _call_of(self, sender: str, news: SessionNews, now: datetime) -> Call | None:
        """Returns the call of a session, which begins with its first news."""
        room = f"{sender}/{news.job}"
        agent = CallAgent(identity=news.agent or "agent", worker=sender, job=news.job)
        began = min(max(news.began or now, now - _EARLIEST), now)
        metadata = {"room": news.room} if news.room else {}
        if news.items:
            metadata[_ITEMS_FROM] = news.source
        before = await self._calls.going_on(room)
        if before is not None and _ITEMS_FROM in before.metadata:
            metadata.pop(_ITEMS_FROM, None)
        facts = CallFacts(assistant=news.agent, kind="other", keep=self._keep, metadata=metadata)
        claimed = await self._calls.claim(
            room, _EPOCH, agent, began if before is None else now, facts
        )
        if claimed is not None:
            return claimed
        # It has ended: what comes late belongs to it all the same, if words of it are stored.
        ended, _ = await self._calls.find(CallFilters(room=room), limit=1)
        return ended[0] if ended else None

    def _item(self, item: CallItem, call: Call, now: datetime) -> CallItem:
        at = min(max(item.created_at, call.started_at), now)
        if not self._redacts_cards:
            return replace(item, created_at=at)
        tools = redact_tools(item.tool_calls)
        return replace(item, created_at=at, text=redact(item.text), tool_calls=tools)
