"""Lets readers follow a conversation in writing, whichever process writes in it."""

from collections.abc import AsyncGenerator, Awaitable, Callable

from agent.text.crowd import Crowd
from agent.text.draft import Draft
from agent.text.history import is_left, is_written
from agent.text.news import End, Item, News, Place, Quiet, Words
from agent.text.writers import Writers
from llm_router.clock import Clock
from llm_router.store.text_calls import TextCalls
from llm_router.voice.calls import Call

FOLLOW_EVERY = 0.5
"""Seconds between two readings of a reply that another process writes."""
_QUIET_AFTER = 15.0
"""Seconds without news after which a reader gets a sign that the connection is alive."""


class Followers:
    """The readers of conversations in this process."""

    def __init__(self, store: TextCalls, writers: Writers, clock: Clock) -> None:
        self._store = store
        self._writers = writers
        self._clock = clock
        self._readers = Crowd("readers of this conversation", 1_500, 8)

    async def follow(
        self, room: str, place: Place, go_on: Callable[[], Awaitable[None]]
    ) -> AsyncGenerator[News, None]:
        """Yields what comes after a place; calls `go_on` for a reply whose process is gone.

        It ends without an `End` when this process does. Raises BusyError and StoreError.
        """
        with self._readers.taken(room):
            while not self._writers.is_closed:
                draft = self._writers.draft_in(room)
                if draft and draft.begins_at(place.number):
                    async for news in self._follow_draft(draft, place):
                        place = getattr(news, "place", place)
                        yield news
                    if draft.end:
                        yield End(draft.end)
                        return
                    continue
                found = await self._store.read(room, place.number)
                if found is None:
                    yield End("none")
                    return
                call, items = found
                if place.number > call.items:  # of a conversation that was deleted
                    place = Place()
                    continue
                for item in items:
                    place = Place(item.number)
                    yield Item(item)
                was_here = self._writers.draft(call) is not None
                async for news in self._under_way(call, place):
                    place = getattr(news, "place", place)
                    yield news
                # The end of a reply that this process wrote is stored: it is read at once.
                is_here = was_here or self._writers.draft(call) is not None
                if is_here or await self._waits(call, go_on):
                    continue
                yield End(call.state)
                return

    async def _under_way(self, call: Call, place: Place) -> AsyncGenerator[News, None]:
        """Yields the reply under way: to its end if this process writes it, else as it is."""
        if draft := self._writers.draft(call):
            async for news in self._follow_draft(draft, place):
                yield news
        elif words := call.voiced[place.read :] if call.state == "text" else "":
            yield Words(Place(place.number, place.read + len(words)), words)
        elif call.job:
            yield Quiet()

    async def _follow_draft(self, draft: Draft, place: Place) -> AsyncGenerator[News, None]:
        while True:
            known = [*draft.asked, *draft.items]
            for item in [item for item in known if item.number > place.number]:
                place = Place(item.number)
                yield Item(item)
            if place.number == draft.base and (words := draft.text[place.read :]):
                place = Place(place.number, place.read + len(words))
                yield Words(place, words)
            elif draft.is_over:
                return
            elif not await draft.wait(_QUIET_AFTER):
                yield Quiet()

    async def _waits(self, call: Call, go_on: Callable[[], Awaitable[None]]) -> bool:
        """Waits for another process's reply, or has one continued; returns False without one."""
        now = self._clock.wall()
        if is_left(call, now):
            await go_on()
            return True
        if not is_written(call, now):
            return False
        await self._clock.sleep(FOLLOW_EVERY)
        return True
