"""Carries out a cold transfer: the caller's telephone is asked to call the person (SIP REFER)."""

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from agent.phone.transfer.verdict import Verdict, settled_at, verdict_on
from llm_router.clock import Clock
from llm_router.voice.phone.outcomes import Outcome

_logger = logging.getLogger("agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """LiveKit's word on a call or a REFER. `is_definite`: it carries the SIP status of the other
    side; `may_reroute`: another carrier may put the call through.
    """

    outcome: Outcome
    is_definite: bool
    may_reroute: bool = False


class Line(Protocol):
    """The caller's telephone line."""

    def on_hold(self) -> AbstractAsyncContextManager[None]:
        """Plays music to the caller during the block."""

    def caller_left(self) -> Awaitable[None]:
        """Returns once the caller's telephone has left the call."""

    async def refer(self) -> Report:
        """Asks the caller's telephone to call the person; returns the final word on it."""


async def transfer_cold(line: Line, clock: Clock) -> Verdict:
    """Returns what became of the transfer, judged by its final state.

    The caller has the agent again after any other verdict than TRANSFERRED.
    """
    began = clock.now()
    async with line.on_hold():
        leaving = asyncio.ensure_future(line.caller_left())
        referring = asyncio.ensure_future(line.refer())
        try:
            await asyncio.wait({leaving, referring}, return_when=asyncio.FIRST_COMPLETED)
            if not referring.done():
                # A telephone that leaves has been transferred, or its caller has hung up: LiveKit
                # knows which only where the other side refuses.
                await asyncio.wait({referring}, timeout=_LAST_WORD)
            report = _report(referring)
            if report.outcome is not Outcome.ANSWERED and not leaving.done():
                until = settled_at(began, clock.now(), is_definite=report.is_definite)
                await asyncio.wait({leaving}, timeout=max(0.0, until - clock.now()))
            return verdict_on(report.outcome, caller_is_there=not leaving.done())
        finally:
            for each in (leaving, referring):
                each.cancel()
            await asyncio.wait({leaving, referring})


_LAST_WORD = 3.0
"""Seconds for LiveKit's word once the caller has left."""


def _report(referring: "asyncio.Future[Report]") -> Report:
    if not referring.done():
        return Report(outcome=Outcome.NO_ANSWER, is_definite=False)
    if error := referring.exception():
        _logger.warning("a transfer failed", exc_info=error)
        return Report(outcome=Outcome.FAILED, is_definite=False)
    return referring.result()
