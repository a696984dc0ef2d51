"""What the router asks of a provider.

A provider is a module in this folder with `create(connection, clock, guard) -> Provider`. It speaks
one wire and knows nothing of deadlines, retries or other endpoints: those are the router's.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llm_router.clock import Clock
from llm_router.connections.record import Connection, Continuation
from llm_router.net.guard import AddressGuard
from llm_router.plugins import Plugins
from llm_router.types import ChatRequest, Chunk


class Provider(Protocol):
    continuation: Continuation
    """How this server continues words another one has said (see `Connection.continuation`)."""
    last_resort: bool
    """It always answers, but not as a model would: asked only when every other endpoint has failed
    or the turn's deadline has come, and never to finish another's sentence."""

    async def warm(self) -> None:
        """Open what the first call would otherwise wait for (DNS, TLS, a pool, the model itself).

        Costs the server no generation. Raises nothing: a server that is down shows when asked.
        """

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """One answer, chunk by chunk, as soon as each arrives.

        The last chunks carry `finish_reason` and `usage` where the server gives them; an answer
        that ends without a finish reason raises BrokenStreamError. Tool calls come whole, in one
        chunk, with arguments that parse. With `request.prefix` the answer goes on after those words
        by the server's own means; a provider whose `continuation` is `words` ignores it.
        Where the model has to be loaded first, a chunk that says so comes before that, at once.
        Raises UpstreamError and its children only. Closing the generator, or cancelling the task
        that reads it, closes the connection so that the server stops generating.
        """

    async def probe(self) -> None:
        """A cheap question (list of models); raises UpstreamError when it is not answered."""

    async def models(self) -> Sequence[str]:
        """Names of the models the server offers; may raise UpstreamError."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a model has come; `total` and `completed` are bytes of the layer called `digest`."""

    status: str
    digest: str = ""
    total: int | None = None
    completed: int | None = None


@runtime_checkable
class ModelManager(Protocol):
    """What a provider is besides whose server fetches models, and throws them away, on request."""

    def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """Fetch a model; the last progress says `success`. Closing the generator stops it.

        Raises UpstreamError: StatusError where the server says in its own words why not, and
        AddressRefusedError for a registry that may not be called.
        """

    async def delete(self, model: str) -> None:
        """Raises UpstreamError: StatusError 404 for a model that is not there."""


class CreateProvider(Protocol):
    """The type of each provider module's `create`.

    With a `guard` nothing is dialled that it refuses; a provider that cannot promise that raises
    AddressRefusedError.
    """

    def __call__(
        self, connection: Connection, clock: Clock, guard: AddressGuard | None = None
    ) -> Provider: ...


PROVIDERS: Plugins[CreateProvider] = Plugins("llm_router.providers", "provider")
