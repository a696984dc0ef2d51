"""What the router asks of a provider.

A provider is a module in this folder with `create(connection, clock, guard) -> Provider`. It speaks
one wire and knows nothing of deadlines, retries or other endpoints: those are the router's.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from llm_router.clock import Clock
from llm_router.connections import Connection, Continuation
from llm_router.guard import AddressGuard
from llm_router.types import ChatRequest, Chunk


class Provider(Protocol):
    continuation: Continuation
    """How this server continues words another one has said (see `Connection.continuation`)."""
    last_resort: bool
    """It always answers, but not as a model would: asked only when every other endpoint has failed
    or the turn's deadline has come, and never to finish another's sentence."""

    async def warm(self) -> None:
        """Open what the first call would otherwise wait for (DNS, TLS, a pool).

        Costs the server no generation. Raises nothing: a server that is down shows when asked.
        """

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """One answer, chunk by chunk, as soon as each arrives.

        The last chunks carry `finish_reason` and `usage` where the server gives them; an answer
        that ends without a finish reason raises BrokenStreamError. Tool calls come whole, in one
        chunk, with arguments that parse. With `request.prefix` the answer goes on after those words
        by the server's own means; a provider whose `continuation` is `words` ignores it.
        Raises UpstreamError and its children only. Closing the generator, or cancelling the task
        that reads it, closes the connection so that the server stops generating.
        """

    async def probe(self) -> None:
        """A cheap question (list of models); raises UpstreamError when it is not answered."""

    async def models(self) -> Sequence[str]:
        """Names of the models the server offers; may raise UpstreamError."""

    async def aclose(self) -> None: ...


class CreateProvider(Protocol):
    """The type of each provider module's `create`.

    With a `guard` nothing is dialled that it refuses; a provider that cannot promise that raises
    AddressRefusedError.
    """

    def __call__(
        self, connection: Connection, clock: Clock, guard: AddressGuard | None = None
    ) -> Provider: ...
