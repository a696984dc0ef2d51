"""Defines the port that each provider implements.

A provider is a module in this folder with `create(connection, clock, guard=None) -> Provider`. It
speaks one wire protocol and knows nothing of deadlines, retries or other endpoints: the router owns
those.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llm_router.clock import Clock
from llm_router.connections.record import Connection, Continuation
from llm_router.net.guard import AddressGuard
from llm_router.plugins import Plugins
from llm_router.types import ChatRequest, Chunk, Usage

ASK_TO_GO_ON = (
    "(Your last message was cut off in transit. Go on from exactly where it stops: say only what "
    "is still missing, repeat none of it, and do not mention this.)"
)
"""Asks in words to continue a reply that was cut off."""


class Provider(Protocol):
    continuation: Continuation
    """How this server continues a reply that another server began (`Connection.continuation`)."""
    last_resort: bool
    """Whether it always answers, but without a model. The router uses such a provider only when
    every other endpoint has failed or the turn's deadline has passed, and never to resume a reply
    that another endpoint began."""

    async def warm(self) -> None:
        """Prepares for the first request: DNS, TLS, the connection pool, the model itself.

        Generates no tokens. Raises nothing: the first request reports a server that is down.
        """

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Yields the chunks of one reply as each arrives.

        The last chunks carry `finish_reason` and, where the server sends it, `usage`. A reply that
        ends without a finish reason raises BrokenStreamError; a stream without any chunk is an
        empty reply: an answer where the request allows one, else the failure
        `failures.SAID_NOTHING`. Tool calls come complete, in one chunk, with arguments that parse;
        one with `calling` may come before. With `request.prefix` the reply continues that text by
        the server's own means; a provider whose `continuation` is `words` ignores the prefix. If
        the model must be loaded first, a chunk with `loading` set comes at once. Raises only
        UpstreamError and its subclasses. Closing the generator, or cancelling the task that reads
        it, closes the connection so that the server stops generating.
        """

    async def probe(self) -> None:
        """Sends a cheap request, such as for the list of models.

        Raises UpstreamError when the server does not answer it.
        """

    async def models(self) -> Sequence[str]:
        """Returns the names of the models that the server offers. May raise UpstreamError."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class PullProgress:
    """Progress of a download; `total` and `completed` are bytes of the layer named `digest`."""

    status: str
    digest: str = ""
    total: int | None = None
    completed: int | None = None


@runtime_checkable
class Noticing(Protocol):
    """A provider that may have found something to correct in its connection, or had to change
    requests that its server refused.
    """

    @property
    def notice(self) -> str:
        """A sentence for the operator; empty where there is nothing to say."""


@runtime_checkable
class Limited(Protocol):
    """A provider that cannot pass on every part of a request, whatever its connection says."""

    @property
    def lacks(self) -> frozenset[str]:
        """The parts, of `routing.reduce.Part`; they are asked for in words, or left out."""


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request, as it is sent."""

    content: bytes
    content_type: str


@dataclass(slots=True)
class ForwardedAnswer:
    """An answer that is passed on as it comes."""

    content_type: str
    pieces: AsyncGenerator[bytes, None]
    usage: Usage | None = None
    """Tokens, if the server counts them; known once all pieces were read."""


@runtime_checkable
class Forwards(Protocol):
    """A provider that also passes on requests that are not chat, such as those for embeddings."""

    def forward(self, route: str, body: Body) -> AbstractAsyncContextManager[ForwardedAnswer]:
        """Sends a POST to the route below the root of the server's API, and opens its answer.

        The block begins with the head of the answer; leaving it closes the connection. Raises only
        UpstreamError and its subclasses, also while the pieces are read.
        """


@runtime_checkable
class ModelManager(Protocol):
    """A provider whose server downloads and deletes models on request."""

    def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """Downloads a model; the last progress has the status `success`.

        Closing the generator stops the download. Raises UpstreamError: StatusError for an error
        that the server reports, AddressRefusedError for a registry that may not be contacted.
        """

    async def delete(self, model: str) -> None:
        """Deletes a model. Raises UpstreamError: StatusError 404 for an unknown model."""


class CreateProvider(Protocol):
    """The type of each provider module's `create`.

    With a `guard` the provider connects to no address that the guard refuses; a provider that
    cannot promise this raises AddressRefusedError.
    """

    def __call__(
        self, connection: Connection, clock: Clock, guard: AddressGuard | None = None
    ) -> Provider: ...


PROVIDERS: Plugins[CreateProvider] = Plugins("llm_router.providers", "provider")
