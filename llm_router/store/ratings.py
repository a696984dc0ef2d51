"""Stores how visitors rate their calls: in the call's metadata, so it is deleted with the call."""

from sqlalchemy import select, update

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.errors import NotFoundError
from llm_router.store.call_tables import calls
from llm_router.store.database import Database
from llm_router.voice.calls import storable_text
from llm_router.voice.redaction import redact

RATING = "rating"
"""Key in a call's metadata."""
MAX_COMMENT = 1_000
"""Characters of a comment."""
_C = calls.c


class Ratings:
    """The ratings of the calls in a migrated database. Raises StoreError."""

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    async def rate(self, room: str, stars: int, comment: str = "") -> None:
        """Rates the last call of a room, in place of an earlier rating.

        What may be a payment card's number is not stored. Raises NotFoundError if no call of the
        room is stored.
        """
        last = select(_C.id, _C["metadata"]).where(_C.room == room)
        last = last.order_by(_C.started_at.desc()).limit(1).with_for_update()
        rating = {"stars": stars, "comment": storable_text(redact(comment))[:MAX_COMMENT]}
        async with self._database.writing() as db:
            row = (await db.execute(last)).one_or_none()
            if row is None:
                raise NotFoundError("this call is not stored")
            values = {"metadata": {**row[1], RATING: rating}, "updated_at": utc_now(self._clock)}
            await db.execute(update(calls).where(_C.id == row[0]).values(values))
