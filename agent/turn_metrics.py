"""Counts turns of calls and how long callers waited, for Prometheus."""

from typing import Any, Final

from livekit.agents import AgentSession
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

DEAD_AIR_AFTER: Final = 1.5
"""Seconds of silence that a caller takes for thought; what is longer is dead air."""
_BUCKETS: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Seconds."""


class TurnMetrics:
    """Updates the `agent_*` series in `registry`; make one for each process and registry.

    A wait is the time from the end of the caller's speech to the first sound of the answer, as
    LiveKit measures it; a filler phrase is a sound.
    """

    def __init__(self, registry: CollectorRegistry | None = REGISTRY) -> None:
        self._waits = Histogram(
            "agent_wait_seconds",
            "Seconds from the end of a caller's turn to the first sound of the answer",
            registry=registry,
            buckets=_BUCKETS,
        )
        self._turns = Counter("agent_turns_total", "Turns that were answered", registry=registry)
        self._dead_air = Counter(
            "agent_dead_air_seconds_total",
            f"Seconds that waits were longer than {DEAD_AIR_AFTER:g} s",
            registry=registry,
        )

    def follow(self, session: AgentSession[None]) -> None:
        """Counts the turns of a session."""
        session.on("conversation_item_added", self._on_item)

    def _on_item(self, event: Any) -> None:
        item = event.item
        if getattr(item, "role", "") != "assistant":
            return
        wait = item.metrics.get("e2e_latency")
        if isinstance(wait, float):  # a greeting answers no turn, and has none
            self.add(wait)

    def add(self, wait: float) -> None:
        """Counts a turn that was answered after `wait` seconds."""
        self._turns.inc()
        self._waits.observe(wait)
        self._dead_air.inc(max(0.0, wait - DEAD_AIR_AFTER))
