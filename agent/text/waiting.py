"""Finds the agent's number for visitors who have typed while they waited for a line."""

import asyncio

from agent.dispatch import Dispatch
from llm_router.clock import Clock, utc_now
from llm_router.errors import StoreError
from llm_router.store.database import Database
from llm_router.store.text_calls import TextCalls
from llm_router.voice.calls import MAX_ITEMS, CallFacts

_STORE_WITHIN = 0.5
"""Seconds for the database: a caller waits, and most have typed nothing."""


class TypedMeanwhile:
    """The conversations in writing of a database, as the receptionist needs them."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._store = TextCalls(database)
        self._clock = clock

    async def describe(self, room: str, dispatch: Dispatch) -> Dispatch:
        """Moves a conversation in writing back to its room; returns the agent that goes on there.

        One that is in its room, or no conversation at all, changes nothing, nor does a database
        that does not answer in time.
        """
        try:
            async with asyncio.timeout(_STORE_WITHIN):
                found = await self._store.read(room, MAX_ITEMS)
                if found is None or found[0].state != "text":
                    return dispatch
                call = await self._store.to_voice(room, utc_now(self._clock), CallFacts())
        except (StoreError, TimeoutError):
            return dispatch
        epoch = call.epoch if call else dispatch.epoch
        return dispatch.model_copy(update={"epoch": epoch, "planned": True})
