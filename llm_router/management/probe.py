"""One short question to one connection, for whoever wants to know whether it works."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from llm_router.catalog.servers import PROVIDER, find_server
from llm_router.clock import Clock, SystemClock
from llm_router.connections.record import Connection
from llm_router.discovery.local_servers import DetectedServer, identify_server
from llm_router.errors import AddressRefusedError, UpstreamError
from llm_router.failures import Failure, FailureClass, classify, failure_before_a_word
from llm_router.net.guard import AddressGuard
from llm_router.providers.base import PROVIDERS, Provider
from llm_router.types import ChatRequest, Usage

_PATIENCE = 30.0
"""Seconds; a person is waiting."""
_LIST_WITHIN = 5.0
"""Seconds for the list of models, which is good to have."""
_NOBODY_THERE = frozenset({FailureClass.UNREACHABLE, FailureClass.SILENT})
_A_WORD = ChatRequest(messages=[{"role": "user", "content": "Hi"}], max_tokens=1)
_LONGEST_ANSWER = 10_000
"""Characters, after which no more is read: a server need not heed max_tokens."""


@dataclass(slots=True, kw_only=True)
class Checkup:
    """Times are in seconds since the question. What came before a `failure` is kept."""

    latency: float = 0.0
    first_word: float | None = None
    text: str = ""
    usage: Usage | None = None
    models: Sequence[str] = ()
    loading: bool = False
    """Whether its model had to be loaded first, which is part of the times then."""
    failure: Failure | None = None
    seen: DetectedServer | None = None
    """What the server says it is, where that was asked."""

    def notice(self, connection: Connection) -> str:
        """What to look at where the server is another than the record has it; else empty."""
        if self.seen is None or not self.seen.server:
            return ""
        asked_as = find_server(connection)
        if self.seen.server == asked_as.name:
            return ""
        return (
            f"it looks like {self.seen.title}, and is asked as {asked_as.title}; if that is wrong,"
            f' set server to "{self.seen.server}"'
        )


async def check_up(
    connection: Connection,
    prompt: str,
    *,
    max_tokens: int | None = None,
    identify_within: float = 0.0,
    guard: AddressGuard | None = None,
    clock: Clock | None = None,
    heard: Callable[[str], object] = lambda _: None,
) -> Checkup:
    """Ask it once, then for its models, then what it is, which may take so many seconds (0: it is
    not asked); takes 35 s at most, and those. `heard` is told the words as they come.

    Raises ConfigurationError for a record that cannot be asked at all, and AddressRefusedError
    where `guard` will not have it called; all else that goes wrong is in the answer.
    """
    clock = clock or SystemClock()
    provider = await open_provider(connection, clock, guard)
    request = ChatRequest(messages=[{"role": "user", "content": prompt}], max_tokens=max_tokens)
    try:
        answer = await _ask(provider, request, connection.timeout, clock, heard)
        if answer.failure is None or answer.failure.kind not in _NOBODY_THERE:
            answer.models, _ = await _models(provider, connection.timeout)
            answer.seen = await _seen(connection, guard, identify_within)
    finally:
        await provider.aclose()
    return answer


async def _seen(
    connection: Connection, guard: AddressGuard | None, within: float
) -> DetectedServer | None:
    """None also for a service, which is known by its address."""
    if connection.provider != PROVIDER or not within or find_server(connection).hosts:
        return None
    return await identify_server(
        connection.base_url, api_key=connection.api_key, guard=guard, within=within
    )


async def list_models(
    connection: Connection, *, guard: AddressGuard | None = None, clock: Clock | None = None
) -> tuple[Sequence[str], Failure | None]:
    """What the server offers, or why it did not say. Raises as `check_up` does."""
    provider = await open_provider(connection, clock or SystemClock(), guard)
    try:
        return await _models(provider, connection.timeout)
    finally:
        await provider.aclose()


async def open_provider(
    connection: Connection, clock: Clock, guard: AddressGuard | None, *, model: str | None = None
) -> Provider:
    """Who speaks to its server, for `model` in place of its own; to be closed. Raises as `check_up`
    does.
    """
    # In a thread, since one that stands on a large library takes seconds to load.
    create = await asyncio.to_thread(PROVIDERS.load, connection.provider)
    if model is not None:
        connection = replace(connection, model_name=model)
    return create(connection, clock, guard)


async def look(provider: Provider, patience: float, *, for_a_word: bool = False) -> Failure | None:
    """Whether it answers a question that costs nothing, or, `for_a_word`, begins to answer one that
    costs a token. Raises AddressRefusedError.
    """
    try:
        async with asyncio.timeout(patience):
            if for_a_word:
                return await _first_sign(provider)
            await provider.probe()
            return None
    except AddressRefusedError:
        raise
    except TimeoutError:
        kind = FailureClass.SILENT if for_a_word else FailureClass.UNREACHABLE
        return Failure(kind, f"no answer after {patience:g} s")
    except UpstreamError as error:
        return classify(error)


async def _first_sign(provider: Provider) -> Failure | None:
    """A model that is cut off while it still thinks is well, too."""
    async with aclosing(provider.stream(_A_WORD)) as chunks:
        async for chunk in chunks:
            if chunk.useful or chunk.reasoning or chunk.finish_reason == "length":
                return None
            if failure := failure_before_a_word(chunk):
                return failure
    return failure_before_a_word(None)


async def _models(provider: Provider, patience: float) -> tuple[Sequence[str], Failure | None]:
    within = min(_LIST_WITHIN, patience)
    try:
        async with asyncio.timeout(within):
            return await provider.models(), None
    except AddressRefusedError:
        raise
    except UpstreamError as error:
        return (), classify(error)
    except TimeoutError:
        return (), Failure(FailureClass.SILENT, f"no list of models in {within:g} s")


async def _ask(
    provider: Provider,
    request: ChatRequest,
    patience: float,
    clock: Clock,
    heard: Callable[[str], object],
) -> Checkup:
    answer, started = Checkup(), clock.now()
    within = min(_PATIENCE, patience)
    try:
        async with asyncio.timeout(within):
            await _read(provider, request, answer, lambda: clock.now() - started, heard)
    except AddressRefusedError:
        raise
    except TimeoutError:
        kind = FailureClass.LOADING if answer.loading else FailureClass.SILENT
        kind = FailureClass.STALLED if answer.text else kind
        answer.failure = Failure(kind, f"the answer was not whole after {within:g} s")
    except UpstreamError as error:
        answer.failure = classify(error)
    answer.latency = clock.now() - started
    return answer


async def _read(
    provider: Provider,
    request: ChatRequest,
    answer: Checkup,
    elapsed: Callable[[], float],
    heard: Callable[[str], object],
) -> None:
    async with aclosing(provider.stream(request)) as chunks:
        async for chunk in chunks:
            answer.text += chunk.text
            if chunk.text:
                heard(chunk.text)
            answer.usage = chunk.usage or answer.usage
            answer.loading = answer.loading or chunk.loading
            if answer.first_word is not None:
                if len(answer.text) >= _LONGEST_ANSWER:
                    return
            elif chunk.useful:
                answer.first_word = elapsed()
            elif failure := failure_before_a_word(chunk):
                answer.failure = failure
                return
    if answer.first_word is None:
        answer.failure = failure_before_a_word(None)
