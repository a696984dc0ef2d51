"""AttemptGroup: starts the attempts of one reply and settles each of them exactly once."""

from collections.abc import Iterable

from llm_router.clock import Clock
from llm_router.failures import Failure
from llm_router.options import RouterOptions
from llm_router.routing.attempt import Attempt, Role
from llm_router.routing.draining import Draining
from llm_router.routing.eligibility import bounded, fitted, refused_marks, refused_tokens
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.hedge import Patience, patience
from llm_router.routing.ledger import Ledger
from llm_router.routing.mailbox import Mailbox
from llm_router.routing.resume import resume_request
from llm_router.types import ChatRequest


class AttemptGroup:
    """The attempts of one reply, from their start to what their end means for their endpoints.

    Settling awaits nothing, so that a caller who interrupts is not delayed: an attempt is
    cancelled, charged to its endpoint's latency and breaker, entered in the ledger, and left to
    `Draining`. `size` is the size class of the prompt (see `latency.size_class`).
    """

    def __init__(
        self,
        request: ChatRequest,
        ledger: Ledger,
        *,
        size: int,
        options: RouterOptions,
        draining: Draining,
        clock: Clock,
    ) -> None:
        self._request = request
        self._ledger = ledger
        self._size = size
        self._options = options
        self._draining = draining
        self._clock = clock
        self.mailbox: Mailbox[Attempt] = Mailbox(clock)

    def start(self, endpoint: Endpoint, role: Role) -> Attempt:
        """Starts an attempt; after words were given out, one that continues them."""
        request = self._request_for(endpoint)
        first_word = endpoint.latency.first_word(self._size)
        silent = sum(one.endpoint is endpoint and one.is_late for one in self._ledger.running)
        options = self._options.patience
        if endpoint.name == request.preferred:
            waits = Patience(options.preferred, options.preferred, options.preferred)
        else:
            waits = patience(first_word, self._clock.now(), options, silent_before=silent)
        attempt = Attempt(
            endpoint,
            request,
            role=role,
            size=self._size,
            hedge_after=waits.hedge_after,
            silent_after=waits.silent_after,
            again_after=waits.again_after,
            most_hidden=self._options.limits.hidden,
            mailbox=self.mailbox,
            clock=self._clock,
        )
        self._ledger.started(attempt)
        return attempt

    def may_ask_for_less(self, endpoint: Endpoint) -> bool:
        """Returns whether an endpoint that has failed can now be asked for less than before."""
        failure = self._ledger.failures.get(endpoint)
        if failure is None or not failure.asks_for_less:
            return False
        last = next(a for a in reversed(self._ledger.attempts) if a.endpoint is endpoint)
        return self._request_for(endpoint) != last.request

    def _request_for(self, endpoint: Endpoint) -> ChatRequest:
        """Returns the request as the endpoint can take it, for a continuation if need be."""
        request = fitted(endpoint, self._request)
        request = bounded(endpoint, request, self._options.limits.tokens)
        if self._ledger.given:
            request = resume_request(request, self._ledger.given, endpoint.provider.continuation)
        return request

    def start_trials(self, endpoints: Iterable[Endpoint]) -> list[Attempt]:
        """Probes half-open endpoints beside the first attempt.

        They cost no hedge token: what they cost is bounded by how seldom a breaker is half-open.
        """
        now = self._clock.now()
        return [self.start(e, "trial") for e in endpoints if e.breaker.take_trial(now)]

    def win(self, winner: Attempt) -> None:
        """Settles every attempt but the winner.

        Other requests to the winner's own endpoint are not held against it, unless an earlier one
        is late: a server may answer requests out of order.
        """
        self._ledger.won(winner)
        for attempt in [a for a in self._ledger.running if a is not winner]:
            if attempt.role == "trial":
                self._draining.watch(attempt)
                self._ledger.ended(attempt, "lost")
                continue
            is_slower = attempt.started_at < winner.started_at
            is_same = attempt.endpoint is winner.endpoint
            if attempt.is_late and (is_slower or not is_same):
                self.fail(attempt, attempt.silence)
            else:
                is_early = is_same or self._clock.now() < attempt.usual_until
                if is_slower and not (is_early or winner.endpoint.provider.last_resort):
                    attempt.overtaken()
                self.stop(attempt, "lost")

    def stop(self, attempt: Attempt, outcome: str) -> None:
        """Ends an attempt that is not to blame."""
        attempt.cut()
        attempt.cancel()
        self._draining.add(attempt)
        self._ledger.ended(attempt, outcome)

    def fail(self, attempt: Attempt, failure: Failure) -> None:
        """Ends an attempt whose failure counts against its endpoint, for this reply at least."""
        attempt.failed(failure)
        if failure.asks_for_less:
            refused = refused_marks(attempt.request, failure)
            attempt.endpoint.learn(failure, refused_tokens(self._request), refused)
        attempt.cancel()
        self._draining.add(attempt)
        if failure is attempt.silence:  # an error says more than a silence
            self._ledger.failures.setdefault(attempt.endpoint, failure)
        else:
            self._ledger.failures[attempt.endpoint] = failure
        self._ledger.ended(attempt, str(failure.kind), failure)

    def give_up(self) -> None:
        """Ends every attempt, because the time for a first word is over."""
        for attempt in list(self._ledger.running):
            if attempt.is_late:
                self.fail(attempt, attempt.silence)
            else:  # it had less time than it is due
                self.stop(attempt, "cancelled")
                self._ledger.failures.setdefault(attempt.endpoint, attempt.silence)

    def close(self) -> None:
        """Ends every attempt, because the reply is over: finished, left or cancelled."""
        for attempt in list(self._ledger.running):
            if attempt is self._ledger.winner and self._ledger.is_finished:
                attempt.finished()
                attempt.cancel()
                self._draining.add(attempt)
                self._ledger.ended(attempt, "won")
            else:
                self.stop(attempt, "cancelled")
        self.mailbox.close()
