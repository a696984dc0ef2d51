"""Signs and reads a visitor's continuation: the proof of who they are and which room is theirs.

A room belongs to one conversation. A visitor who has lost the connection returns to it with the
continuation that came with the token; no other visitor can name that room, or take that identity.
"""

import hmac
import secrets
from dataclasses import dataclass
from typing import Self

import jwt

from llm_router.voice.site import Mode

PUBLIC_PREFIX = "web-"
"""Prefix of visitors' rooms; the room of a telephone call, say, has another."""
MAX_LENGTH = 1024
"""Characters of a continuation that is read at all."""
_LASTS = 24 * 3600
"""Seconds for which a continuation can be used; longer than any call."""
_PURPOSE = b"patchbay continuation of a visit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A visitor, and the room of their conversation."""

    identity: str
    room: str

    @classmethod
    def begin(cls, identity: str = "") -> Self:
        """Makes a room with a random name, for a visitor with a new identity if none is given."""
        return cls(
            identity=identity or "visitor-" + secrets.token_urlsafe(9),
            room=PUBLIC_PREFIX + secrets.token_urlsafe(16),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """A visit that may begin or go on, and the ways to talk in its room."""

    visit: Visit
    modes: frozenset[Mode]


class Continuations:
    """Signs visits, with a key that is derived from LiveKit's secret and opens no room there."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, "sha256")

    def sign(self, visit: Visit, now: float) -> str:
        """Makes the continuation of a visit; `now` is in seconds since 1970."""
        claims = {"sub": visit.identity, "room": visit.room, "exp": int(now) + _LASTS}
        return jwt.encode(claims, self._key, algorithm="HS256")

    def read(self, text: str | None, now: float) -> Visit | None:
        """Returns the visit, or None if the text is no continuation of ours, or too old."""
        if not text or len(text) > MAX_LENGTH:
            return None
        # The time is compared here: the library reads a clock of its own.
        options = {"require": ["sub", "exp", "room"], "verify_exp": False}
        try:
            claims = jwt.decode(text, self._key, algorithms=["HS256"], options=options)  # type: ignore[arg-type]  # a plain dict is what it takes
        except (jwt.InvalidTokenError, ValueError):
            return None
        if claims["exp"] <= now:
            return None
        return Visit(identity=claims["sub"], room=claims["room"])
