"""Remembers how the requests of one connection have to be changed, and changes them.

A server that refuses a request and says why is asked again at once with the request changed. What
it then answered is remembered as long as the connection is in use: later requests are right the
first time. A change that one value of a field needs, or one form of request, is made to no others.
A changed connection begins anew, with its provider.
"""

import logging
from collections.abc import Sequence
from typing import Any

from llm_router.errors import StatusError, UpstreamError
from llm_router.providers._wire.cures import Cure, apply
from llm_router.providers._wire.refusals import find_cures

_logger = logging.getLogger("llm_router")

_MOST_CHANGES = 4
"""Refusals of one request that are answered with a changed one. Each costs the caller a wait."""
_MOST_LEARNT = 16
CONTINUE_IN_WORDS = Cure("continue in words")
_USER_LAST = Cure("user last")


class Adaptation:
    """The changes learnt for one connection."""

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._learnt: tuple[Cure, ...] = ()

    def question(self, body: dict[str, Any], *, continues: bool = False) -> "Question":
        """Returns a request for this body, changed as learnt so far.

        `continues`: its last message is the beginning of the reply.
        """
        # A user's message behind the beginning of a reply would end it.
        others = {CONTINUE_IN_WORDS, _USER_LAST} if continues else {CONTINUE_IN_WORDS}
        learnt = tuple(cure for cure in self._learnt if cure not in others)
        return Question(self, body, learnt, continues=continues)

    @property
    def continues_in_words(self) -> bool:
        """Whether the server refuses to continue the beginning of a reply."""
        return CONTINUE_IN_WORDS in self._learnt

    @property
    def notice(self) -> str:
        """The changes in words, for a person; empty where there are none."""
        changes = "; ".join(str(cure) for cure in self._learnt)
        return f"the server refused a request, so it is changed: {changes}" if changes else ""

    def learn(self, cures: Sequence[Cure]) -> None:
        new = [cure for cure in cures if cure not in self._learnt]
        if not new:
            return
        for cure in new:
            _logger.warning(
                "connection %s: the server refused a request; from now on %s",
                self._connection, cure,
            )  # fmt: skip
        # Those for one value are the first to go: a program may send many.
        learnt = sorted((*self._learnt, *new), key=lambda cure: not cure.of)
        self._learnt = tuple(learnt[-_MOST_LEARNT:])


class Question:
    """One request, which may be refused and asked again. `body` is the one to send next."""

    def __init__(
        self,
        adaptation: Adaptation,
        original: dict[str, Any],
        cures: tuple[Cure, ...],
        *,
        continues: bool,
    ) -> None:
        self._adaptation = adaptation
        self._continues = continues
        self._original = original
        self._cures = cures
        self._refusals = 0
        self.body = apply(cures, original) if cures else original

    @property
    def is_changed(self) -> bool:
        """Whether it was refused, and is not known to be answered since."""
        return bool(self._refusals)

    def may_ask_again(self, error: UpstreamError) -> bool:
        """Changes `body` if that may cure the refusal; returns whether it is to be sent."""
        if not isinstance(error, StatusError) or self._refusals == _MOST_CHANGES:
            return False
        cures = find_cures(error, self.body, self._cures)
        if not cures:
            return False
        if self._continues:
            cures = [CONTINUE_IN_WORDS if cure == _USER_LAST else cure for cure in cures]
        self._refusals += 1
        self._cures = (*self._cures, *cures)
        self.body = apply(self._cures, self._original)
        return True

    def answered(self) -> None:
        """Notes that the server has taken the request: its changes hold from now on."""
        self._adaptation.learn(self._cures)
        self._refusals = 0
