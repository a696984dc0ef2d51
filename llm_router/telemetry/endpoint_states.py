"""Reports the state of a router's endpoints to observers, once a second."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from llm_router.clock import Clock
from llm_router.periodic import PeriodicTask
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import EndpointState, Observers

_EVERY = 1.0
"""Seconds between two reports."""


class EndpointReporter:
    """Calls `endpoints_sampled` of the observers, from `start` to `aclose`.

    An endpoint that was removed is reported once more, as closed and with nothing in flight, so
    that no chart goes on showing its last state.
    """

    def __init__(
        self, endpoints: Callable[[], Sequence[Endpoint]], observers: Observers, clock: Clock
    ) -> None:
        self._endpoints = endpoints
        self._observers = observers
        self._clock = clock
        self._names: set[str] = set()
        self._task = PeriodicTask(self._report, clock, _EVERY, name="endpoint states")

    def start(self) -> None:
        self._task.start()

    async def aclose(self) -> None:
        """Ends the reports with a last one, in which nothing is in flight."""
        await self._task.aclose()
        self._observers.endpoints_sampled([replace(s, in_flight=0) for s in self._states()])

    async def _report(self) -> None:
        states = self._states()
        names = {state.connection for state in states}
        removed = [
            EndpointState(connection=name, breaker="closed", in_flight=0)
            for name in sorted(self._names - names)
        ]
        self._observers.endpoints_sampled([*states, *removed])
        self._names = names

    def _states(self) -> list[EndpointState]:
        now = self._clock.now()
        return [endpoint.state(now) for endpoint in self._endpoints()]
