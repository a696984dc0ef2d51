"""Repeats: the endpoints that may be asked again for the same reply, and from when on."""

from collections import Counter
from collections.abc import Callable

from llm_router.failures import Failure, pause_before_again
from llm_router.routing.endpoint import Endpoint


class Repeats:
    """One time for each endpoint that may be asked again (s, router's clock).

    Most failures are of one request: a pod restarted, a proxy reset, a queue lost it. Reads no
    clock; a `Race` decides whether an endpoint is asked again, which is when no other is well.
    """

    def __init__(self) -> None:
        self._due: dict[Endpoint, float] = {}
        self._asked: Counter[Endpoint] = Counter()
        self._in_vain: Counter[Endpoint] = Counter()
        """Failures in a row without a word."""

    def started(self, endpoint: Endpoint) -> None:
        """Counts a request to an endpoint."""
        self._asked[endpoint] += 1

    def may_ask(self, endpoint: Endpoint) -> bool:
        """Returns whether its connection allows a request, or one more, for this reply."""
        again = endpoint.connection.max_retries
        return again is None or self._asked[endpoint] <= again

    def may_repeat(self, endpoint: Endpoint) -> bool:
        """Returns whether it may be asked again, once it has been asked: a last resort never is."""
        return not endpoint.provider.last_resort and self.may_ask(endpoint)

    def failed(
        self, endpoint: Endpoint, failure: Failure, now: float, *, spoke: bool, time_left: float
    ) -> None:
        """Records a failure; `spoke`: after some words, which shows that it can answer.

        `time_left`: seconds until the deadline of the next word.
        """
        if spoke:
            self._in_vain[endpoint] = 0
        before = self._in_vain[endpoint]
        pause = pause_before_again(failure, before, spoke=spoke, time_left=time_left)
        self._in_vain[endpoint] += not spoke
        self._due.pop(endpoint, None)
        if pause is not None and self.may_repeat(endpoint):
            self._due[endpoint] = now + pause

    def add(self, endpoint: Endpoint, at: float) -> None:
        """Allows an endpoint that is silent to be asked again."""
        if self.may_repeat(endpoint):
            self._due[endpoint] = max(at, self._due.get(endpoint, at))

    def retain(self, is_eligible: Callable[[Endpoint], bool]) -> None:
        self._due = {one: at for one, at in self._due.items() if is_eligible(one)}

    def due(self, now: float) -> Endpoint | None:
        """Returns the endpoint that may be asked again now; of several, the one that has waited
        longest.
        """
        for endpoint in [one for one in self._due if not one.may_start(now)]:
            del self._due[endpoint]
        if not self._due:
            return None
        endpoint = min(self._due, key=self._due.__getitem__)
        return endpoint if self._due[endpoint] <= now else None

    def take(self, endpoint: Endpoint) -> None:
        """Removes an endpoint, because it is asked now."""
        del self._due[endpoint]

    @property
    def times(self) -> list[float]:
        """When each may be asked again."""
        return list(self._due.values())
