"""Stores sign-ins: a browser's proof that it had an API key, without the key."""

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections.access import Actor
from llm_router.errors import ForbiddenError
from llm_router.store import audit
from llm_router.store.api_keys import ApiKey, ApiKeys
from llm_router.store.database import Database
from llm_router.store.fixed_key import FIXED_KEY_ID
from llm_router.store.tables import sign_ins

SIGN_IN_LIFETIME = timedelta(hours=12)
_MOST_SIGN_INS = 100
"""Sign-ins of one key at a time."""
_S = sign_ins.c


class SignIns:
    """The sign-ins made with API keys. Raises StoreError for a database fault.

    A cookie is 256 random bits; stored is its HMAC under the first of `own_keys`, and one under any
    of them is known. So a writer of the database alone makes no sign-in of its own.
    """

    def __init__(
        self,
        database: Database,
        keys: ApiKeys,
        own_keys: Sequence[bytes],
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._own_keys = tuple(own_keys)
        self._clock = clock or SystemClock()

    async def begin(self, key: ApiKey, origin: str) -> tuple[str, datetime]:
        """Starts a sign-in; returns its cookie and the time at which it expires.

        Raises ForbiddenError for a key that is not stored: a session could not end with it.
        """
        if key.id == FIXED_KEY_ID:
            raise ForbiddenError(
                f"{key.name} is for programs and opens no session; sign in with an API key of your"
                " own, which `llm-router api-keys create` makes"
            )
        now = self._now()
        cookie = secrets.token_urlsafe(32)
        until = min(filter(None, (now + SIGN_IN_LIFETIME, key.expires_at)))
        row = {
            "hash": self._digests(cookie)[0],
            "api_key_id": key.id,
            "created_at": now,
            "expires_at": until,
        }
        async with self._database.writing() as db:
            await db.execute(sign_ins.delete().where(_S.expires_at <= now))
            await db.execute(sign_ins.insert(), row)
            await _end_oldest(db, key.id)
            await audit.write(
                db, [key.actor(origin).audit_entry("sign in", ("api_key", key.id), now)]
            )
        return cookie, until

    async def authenticate(self, cookie: str) -> ApiKey | None:
        """Returns the key of a sign-in, or None if it is unknown or expired, or its key revoked.

        Raises ExpiredError for a key whose time was shortened since.
        """
        known = _S.hash.in_(self._digests(cookie)), _S.expires_at > self._now()
        async with self._database.reading() as db:
            key_id = (await db.execute(select(_S.api_key_id).where(*known))).scalar()
        return None if key_id is None else await self._keys.get_valid(key_id)

    async def end(self, cookie: str, actor: Actor) -> None:
        this = _S.hash.in_(self._digests(cookie))
        async with self._database.writing() as db:
            key_id = (await db.execute(select(_S.api_key_id).where(this))).scalar()
            if key_id is not None:
                await db.execute(sign_ins.delete().where(this))
                await audit.write(
                    db, [actor.audit_entry("sign out", ("api_key", key_id), self._now())]
                )

    def _digests(self, cookie: str) -> list[str]:
        text = cookie.encode(errors="surrogatepass")
        return [hmac.digest(key, text, "sha256").hex() for key in self._own_keys]

    def _now(self) -> datetime:
        return utc_now(self._clock)


async def _end_oldest(db: AsyncConnection, key_id: str) -> None:
    """Ends the oldest sign-ins of a key beyond the most that it may have."""
    newest = select(_S.hash).where(_S.api_key_id == key_id).order_by(_S.created_at.desc(), _S.hash)
    await db.execute(sign_ins.delete().where(_S.hash.in_(newest.offset(_MOST_SIGN_INS))))
