"""Router: answers chat requests through whichever of its endpoints can."""

import asyncio
from collections.abc import Iterable, Sequence

from llm_router.clock import Clock
from llm_router.options import RouterOptions
from llm_router.routing.budget import Budget
from llm_router.routing.draining import Draining
from llm_router.routing.endpoint import Endpoint
from llm_router.routing.events import Observer
from llm_router.routing.forwarding import Forwarding, ForwardRequest
from llm_router.routing.phrases import Phrases
from llm_router.routing.pool import Pool
from llm_router.routing.reply import Reply
from llm_router.routing.state import RouterState
from llm_router.types import ChatRequest

__all__ = ["Reply", "Router"]


class Router:
    """Answers chat requests through its endpoints, and remembers how each of them does.

    Made by `llm_router.open_router`, which also closes it.
    """

    def __init__(
        self,
        pool: Pool,
        options: RouterOptions,
        *,
        clock: Clock,
        phrases: Phrases | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self.pool = pool
        self.options = options
        self.clock = clock
        self.phrases = phrases or Phrases()
        self.observers = tuple(observers)
        self._state = RouterState(
            pool=pool,
            options=options,
            clock=clock,
            phrases=self.phrases,
            observers=self.observers,
            budget=Budget(options.hedge_budget),
            draining=Draining(clock),
        )

    def stream(self, request: ChatRequest, observers: Sequence[Observer] = ()) -> Reply:
        """Starts a reply, to be read with `async for`. `observers` get the events of this one only.

        A provider's failure never raises in a reply with `request.speech`: when all connections
        fail, a phrase is spoken. Without it, ReplyFailedError says for each connection why it did
        not answer. Closing the reply, or cancelling the task that reads it, closes every stream
        behind it; wrap a loop that may be left early in `contextlib.aclosing(reply)`.
        """
        return Reply(self._state, request, observers)

    def forward(self, request: ForwardRequest, endpoints: Iterable[Endpoint]) -> Forwarding:
        """Passes a request that is not chat on to one of the endpoints; see `Forwarding`."""
        return Forwarding(request, endpoints, clock=self.clock, observers=self.observers)

    async def warm(self) -> None:
        """Opens the HTTP connections that the first calls would wait for, all at the same time."""
        await asyncio.gather(*(endpoint.provider.warm() for endpoint in self.pool.endpoints))

    def saturation(self) -> float:
        """Returns how busy the models are, from 0 (idle) to 1 (full): see `Pool.saturation`."""
        return self.pool.saturation(self.clock.now())

    async def aclose(self) -> None:
        """Waits until attempts that lost or were cancelled have ended; providers stay open."""
        await self._state.draining.aclose()

    def __repr__(self) -> str:
        return f"Router({self._state.budget!r})\n{self.pool!r}"
