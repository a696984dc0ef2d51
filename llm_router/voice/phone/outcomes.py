"""Decides what became of a call that was placed, from its SIP status or from LiveKit's error.

The table is from experiments with livekit-sip and the meanings of RFC 3261, RFC 4412, RFC 8197 and
RFC 8688. Which answers are a carrier's and not a person's: RFC 3398, 8.2.6, where 404 is also the
word for "no route to destination".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


class Outcome(StrEnum):
    """The end of a call that was placed, as its record says."""

    ANSWERED = "answered"
    BUSY = "busy"
    DECLINED = "declined"
    NO_ANSWER = "no_answer"
    INVALID = "invalid"
    BLOCKED = "blocked"
    CAPACITY = "capacity"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Result:
    """An outcome with what it means and what to do about it."""

    outcome: Outcome
    meaning: str
    """For people: what happened, and what to do next."""
    may_retry: bool
    """Whether the same call may be placed again later."""
    is_setup: bool = False
    """Whether the set-up is at fault: no telephone rang, and no other call would get through."""
    may_reroute: bool = False
    """Whether another carrier may put the call through, unless a telephone has rung."""


ANSWERED = Result(Outcome.ANSWERED, "the call was answered", may_retry=False)
_BUSY = Result(Outcome.BUSY, "the line is busy; call again later", may_retry=True)
_DECLINED = Result(
    Outcome.DECLINED, "the person declined the call, or a block list did", may_retry=False
)
_NO_ANSWER = Result(
    Outcome.NO_ANSWER, "it rang and was not answered; call again later", may_retry=True
)
_LATE = replace(_NO_ANSWER, may_reroute=True)
_SILENT = Result(
    Outcome.NO_ANSWER,
    "no answer came: it rang out, or nothing answers at the trunk's address; if all calls end"
    " so, correct `address` in [[trunks]]",
    may_retry=True,
    may_reroute=True,
)
_INVALID = Result(
    Outcome.INVALID, "there is no such number; correct it, or stop calling it", may_retry=False
)
_NO_ROUTE = replace(_INVALID, may_reroute=True)
_BLOCKED = Result(
    Outcome.BLOCKED,
    "the carrier refuses the call: see in its portal whether the caller id is verified, the"
    " country is allowed and the account has credit",
    may_retry=False,
    may_reroute=True,
)
_UNWANTED = Result(
    Outcome.BLOCKED, "the person does not want such calls; do not call again", may_retry=False
)
_KEYS = Result(
    Outcome.FAILED,
    "the carrier refuses username and password; correct them in [[trunks]], then run"
    " `llm-router phone apply`",
    may_retry=False,
    is_setup=True,
    may_reroute=True,
)
_UNREACHABLE = Result(
    Outcome.FAILED,
    "nothing takes calls at the trunk's address; correct `address` and `transport` in [[trunks]],"
    " then run `llm-router phone apply`",
    may_retry=True,
    is_setup=True,
    may_reroute=True,
)
_FULL = Result(
    Outcome.CAPACITY,
    "the carrier has no line free; call again later, or lower calls_per_second",
    may_retry=True,
    may_reroute=True,
)
_OVERLOADED = Result(
    Outcome.CAPACITY,
    "the SIP service has no capacity; call again later, or give it more processors",
    may_retry=True,
)
_MEDIA = Result(
    Outcome.FAILED,
    "both sides have no codec or encryption in common; correct [media]",
    may_retry=False,
)
_ERROR = Result(
    Outcome.FAILED,
    "the carrier failed at the call; call again later",
    may_retry=True,
    may_reroute=True,
)
_REFUSED = Result(
    Outcome.FAILED,
    "the carrier did not understand the call; its log or its support says why",
    may_retry=False,
    may_reroute=True,
)
NO_SERVICE = Result(
    Outcome.FAILED,
    "no SIP service answers LiveKit: start livekit-sip, with the Redis that livekit-server has",
    may_retry=True,
    is_setup=True,
)
NO_TRUNK = Result(
    Outcome.FAILED,
    "LiveKit does not know the trunk; run `llm-router phone apply`",
    may_retry=False,
    is_setup=True,
    may_reroute=True,
)
_LIVEKIT_KEYS = Result(
    Outcome.FAILED,
    "LiveKit refuses the keys; correct LIVEKIT_API_KEY and LIVEKIT_API_SECRET",
    may_retry=False,
    is_setup=True,
)
_LIVEKIT_REFUSED = Result(
    Outcome.FAILED, "LiveKit refused the call; its log says why", may_retry=False
)
UNKNOWN = Result(
    Outcome.UNKNOWN,
    "LiveKit did not say what became of the call; it may have been answered, so it is not placed"
    " again by itself",
    may_retry=False,
)

BY_STATUS: Mapping[int, Result] = {
    **dict.fromkeys((486, 600), _BUSY),
    603: _DECLINED,
    408: _LATE,
    **dict.fromkeys((480, 487), _NO_ANSWER),
    404: _NO_ROUTE,
    **dict.fromkeys((410, 416, 484, 485, 604), _INVALID),
    **dict.fromkeys((402, 403, 428, 433, 436, 437, 438, 470), _BLOCKED),
    **dict.fromkeys((607, 608), _UNWANTED),
    **dict.fromkeys((401, 407), _KEYS),
    **dict.fromkeys((429, 503), _FULL),
    **dict.fromkeys((415, 488, 493, 494, 580, 606), _MEDIA),
}
"""Results by the SIP status of the final answer; others go by their class."""

BY_ERROR: Mapping[str, Result] = {
    "canceled": _SILENT,
    "resource_exhausted": _OVERLOADED,
    "unavailable": _OVERLOADED,
    "not_found": NO_TRUNK,
    "unauthenticated": _LIVEKIT_KEYS,
    "permission_denied": _LIVEKIT_KEYS,
    "invalid_argument": _LIVEKIT_REFUSED,
}
"""Results by the kind of LiveKit's error, where no SIP status came. After any other the number may
ring, or be answered: livekit-sip says `failed_precondition` for a fault after its INVITE, and
livekit-server `deadline_exceeded` where livekit-sip has not answered it."""
BY_TEXT: Mapping[str, Result] = {
    "no response from servers": NO_SERVICE,
    "common audio codec not found": _MEDIA,
    "no common encryption profiles": _MEDIA,
    "max auth retry attempts": _KEYS,
    "sip server required auth": _KEYS,
    "no auth header in sip": _KEYS,
    "no such host": _UNREACHABLE,
    "connection refused": _UNREACHABLE,
    "no route to host": _UNREACHABLE,
    "network is unreachable": _UNREACHABLE,
}
"""Results by words of LiveKit's error, where no SIP status came, whatever its kind."""


def result_of(status: int | None, error: str = "", message: str = "") -> Result:
    """Returns what became of a call, from the SIP status of its final answer; without one, from the
    kind and the text of LiveKit's error.
    """
    if status is not None:
        return BY_STATUS.get(status) or _by_class(status)
    said = (result for words, result in BY_TEXT.items() if words in message)
    return next(said, None) or BY_ERROR.get(error, UNKNOWN)


def _by_class(status: int) -> Result:
    if 200 <= status < 300:  # noqa: PLR2004  the classes of RFC 3261
        return ANSWERED
    if 500 <= status < 600:  # noqa: PLR2004
        return _ERROR
    # A 6xx is the word of the person's side, wherever the call is sent.
    return _REFUSED if status < 600 else replace(_REFUSED, may_reroute=False)  # noqa: PLR2004
