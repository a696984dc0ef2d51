"""Signs and reads the token with which a visitor returns to a conversation in writing.

It proves who the visitor is and which conversation is theirs: to read it, to go on with it, to move
it to a room, and to delete it. Its key is derived, and opens nothing else.
"""

import hmac
from dataclasses import dataclass

import jwt

from agent.text.refusals import unknown
from agent.visitor_gate import Visitor
from agent.visits import MAX_LENGTH, Continuations, Visit

_LASTS = 7 * 24 * 3600
"""Seconds for which a token can be used; a conversation is over a day after its last message."""
_PURPOSE = b"patchbay conversation in writing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """A visitor and their conversation; `site` and `assistant` are names, empty for none."""

    visit: Visit
    site: str = ""
    assistant: str = ""

    @property
    def room(self) -> str:
        return self.visit.room


def of_visitor(conversation: Conversation | None, visitor: Visitor) -> Conversation:
    """Returns the conversation of a visitor's token. Raises Problem (401) for one of another site.

    None: the token was not valid.
    """
    site = visitor.site.record.name if visitor.site else ""
    if conversation is None or conversation.site != site:
        raise unknown()
    return conversation


class ResumeTokens:
    """Signs conversations, with a key that is derived from LiveKit's secret."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
        self._continuations = Continuations(secret)

    def sign(self, conversation: Conversation, now: float) -> str:
        """Makes the token of a conversation; `now` is in seconds since 1970."""
        claims = {
            "sub": conversation.visit.identity,
            "room": conversation.room,
            "site": conversation.site,
            "assistant": conversation.assistant,
            "exp": int(now) + _LASTS,
        }
        return jwt.encode(claims, self._key, algorithm="HS256")

    def visit_of(self, text: str, now: float) -> Visit | None:
        """Returns the visit that a token proves, or a call's continuation; None: neither."""
        conversation = self.read(text, now)
        return conversation.visit if conversation else self._continuations.read(text, now)

    def read(self, text: str, now: float) -> Conversation | None:
        """Returns the conversation, or None if the text is no token of ours, or too old."""
        if not text or len(text) > MAX_LENGTH:
            return None
        required = ["sub", "exp", "room", "site", "assistant"]
        # The time is compared here: the library reads a clock of its own.
        options = {"require": required, "verify_exp": False}
        try:
            claims = jwt.decode(text, self._key, algorithms=["HS256"], options=options)  # type: ignore[arg-type]  # a plain dict is what it takes
        except (jwt.InvalidTokenError, ValueError):
            return None
        if claims["exp"] <= now:
            return None
        visit = Visit(identity=claims["sub"], room=claims["room"])
        return Conversation(visit=visit, site=claims["site"], assistant=claims["assistant"])
