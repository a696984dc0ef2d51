"""Probes one connection: asks it one short question, for its models, and what server it is."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from llm_router.catalog.servers import PROVIDER, find_server
from llm_router.classification import classify
from llm_router.clock import Clock, SystemClock, utc_now
from llm_router.connections.access import Actor
from llm_router.connections.record import Connection
from llm_router.connections.store import OK, Check
from llm_router.discovery.local_servers import DetectedServer, identify_server
from llm_router.errors import AddressRefusedError, ForbiddenError, UpstreamError
from llm_router.failures import Failure, FailureClass, failure_before_a_word
from llm_router.management.opening import ConnectionOpener
from llm_router.net.guard import AddressGuard
from llm_router.options import HealthOptions
from llm_router.providers.base import PROVIDERS, Noticing, Provider
from llm_router.types import ChatRequest, Usage

_ANSWER_TIMEOUT = 30.0
"""Seconds; a person is waiting."""
_LIST_TIMEOUT = 5.0
"""Seconds for the list of models, which is good to have."""
PROBE_PROMPT = "Say hello in one short sentence."
PROBE_TOKENS = 64
"""The usual question of a probe, and the tokens of its answer at most."""
_NO_SERVER = frozenset({FailureClass.UNREACHABLE, FailureClass.SILENT})
_ONE_TOKEN = ChatRequest(messages=[{"role": "user", "content": "Hi"}], max_tokens=1)
_MAX_ANSWER = 10_000
"""Characters after which reading stops: a server need not heed max_tokens."""


@dataclass(slots=True, kw_only=True)
class ProbeResult:
    """The result of one probe. Times are in seconds since the question.

    What came before a `failure` stays in the other fields.
    """

    latency: float = 0.0
    first_word: float | None = None
    text: str = ""
    usage: Usage | None = None
    models: Sequence[str] = ()
    loading: bool = False
    """True if the server had to load its model first; the times then include that."""
    failure: Failure | None = None
    detected: DetectedServer | None = None
    """The server as it describes itself; None if it was not asked or did not say."""
    notice: str = ""
    """A hint if base_url should be another, or the server looks like another one than the record
    names; else empty."""


async def probe(
    connection: Connection,
    prompt: str,
    *,
    max_tokens: int | None = None,
    identify_within: float = 0.0,
    guard: AddressGuard | None = None,
    clock: Clock | None = None,
    on_text: Callable[[str], object] = lambda _: None,
) -> ProbeResult:
    """Asks the connection once, then for its models, then which server it is. One that is not for
    chat is only asked for its models.

    Takes 35 s at most, and `identify_within` (s) more for the last step, which 0 leaves out.
    `on_text` is called with each piece of text as it arrives. Raises ConfigurationError for a
    record that cannot be asked at all, and AddressRefusedError for an address that `guard` refuses;
    every other failure is part of the result.
    """
    clock = clock or SystemClock()
    provider = await open_provider(connection, clock, guard)
    request = ChatRequest(messages=[{"role": "user", "content": prompt}], max_tokens=max_tokens)
    try:
        if connection.serves == "chat":
            result = await _ask(provider, request, connection, clock, on_text)
        else:
            result = await _reach(provider, connection, clock)
        if result.failure is None or result.failure.kind not in _NO_SERVER:
            result.models, _ = await _models(provider, connection.timeout)
            result.detected = await _detect(connection, guard, identify_within)
            result.notice = _notice(provider, connection, result.detected)
    finally:
        await provider.aclose()
    return result


async def list_models(
    connection: Connection, *, guard: AddressGuard | None = None, clock: Clock | None = None
) -> tuple[Sequence[str], Failure | None]:
    """Returns the models that the server offers, or the reason why it listed none.

    Raises as `probe` does.
    """
    provider = await open_provider(connection, clock or SystemClock(), guard)
    try:
        return await _models(provider, connection.timeout)
    finally:
        await provider.aclose()


async def open_provider(
    connection: Connection, clock: Clock, guard: AddressGuard | None, *, model: str | None = None
) -> Provider:
    """Creates the connection's provider, for `model` in place of its own; the caller closes it.

    Raises as `probe` does.
    """
    # In a thread, because a provider that stands on a large library takes seconds to load.
    create = await asyncio.to_thread(PROVIDERS.load, connection.provider)
    if model is not None:
        connection = replace(connection, model_name=model)
    return create(connection, clock, guard)


async def check_provider(
    provider: Provider, within: float, *, for_a_word: bool = False, secrets: Sequence[str] = ()
) -> Failure | None:
    """Returns None if the server answers a free request `within` so many s, else the failure.

    `for_a_word`: asks for one token instead, which costs that token. `secrets` are left out of the
    failure. Raises AddressRefusedError.
    """
    try:
        async with asyncio.timeout(within):
            if for_a_word:
                return await _first_sign(provider)
            await provider.probe()
            return None
    except AddressRefusedError:
        raise
    except TimeoutError:
        kind = FailureClass.SILENT if for_a_word else FailureClass.UNREACHABLE
        return Failure(kind, f"no answer after {within:g} s")
    except UpstreamError as error:
        return classify(error, _ONE_TOKEN.messages, secrets)


class ConnectionProber:
    """Probes stored connections for an actor; a probe decides the connection's status.

    Every method raises what `ConnectionOpener.open` raises.
    """

    def __init__(
        self, opener: ConnectionOpener, health: HealthOptions, identify_within: float
    ) -> None:
        self._opener = opener
        self._health = health
        self._identify_within = identify_within

    async def probe(
        self,
        actor: Actor,
        connection_id: str,
        prompt: str,
        *,
        max_tokens: int | None = None,
        on_text: Callable[[str], object] = lambda _: None,
    ) -> ProbeResult:
        """Probes the connection and records the result in its health history.

        A probe is not counted as use, so an actor whose API key has limits asks the usual question
        alone; for another one, or for more tokens, this raises ForbiddenError.
        """
        _require_usual(actor, prompt, max_tokens)
        connection, guard = await self._opener.open(actor, connection_id, "test")
        started_at = utc_now(self._opener.clock)
        result = await probe(
            connection,
            prompt,
            max_tokens=max_tokens,
            identify_within=self._identify_within,
            guard=guard,
            clock=self._opener.clock,
            on_text=on_text,
        )
        failure = result.failure
        check = Check(
            at=started_at,
            kind="test",
            outcome=failure.kind if failure else OK,
            latency=None if failure else result.latency,
            detail=str(failure or ""),
        )
        await self._opener.store.record_check(actor, connection.id, check, self._health)
        return result

    async def list_models(
        self, actor: Actor, connection_id: str
    ) -> tuple[Sequence[str], Failure | None]:
        """Returns the models that the server offers, or the reason why it listed none."""
        connection, guard = await self._opener.open(actor, connection_id, "list models")
        return await list_models(connection, guard=guard, clock=self._opener.clock)


def _require_usual(actor: Actor, prompt: str, max_tokens: int | None) -> None:
    is_usual = prompt == PROBE_PROMPT and 0 < (max_tokens or 0) <= PROBE_TOKENS
    if actor.is_limited and not is_usual:
        raise ForbiddenError(
            "an API key with limits may test a connection with the usual question alone, of"
            f" {PROBE_TOKENS} tokens at most: leave prompt and max_tokens out"
        )


async def _detect(
    connection: Connection, guard: AddressGuard | None, within: float
) -> DetectedServer | None:
    """Asks the server which one it is; a service that is known by its address is not asked."""
    if connection.provider != PROVIDER or not within or find_server(connection).hosts:
        return None
    return await identify_server(
        connection.base_url, api_key=connection.api_key, guard=guard, within=within
    )


def _notice(provider: Provider, connection: Connection, detected: DetectedServer | None) -> str:
    if isinstance(provider, Noticing) and provider.notice:
        return provider.notice
    if detected is None or not detected.server:
        return ""
    configured = find_server(connection)
    if detected.server == configured.name:
        return ""
    return (
        f"it looks like {detected.title}, and is asked as {configured.title}; if that is wrong,"
        f' set server to "{detected.server}"'
    )


async def _first_sign(provider: Provider) -> Failure | None:
    """Reads up to the first sign of life; a model that is cut off while it reasons is well, too."""
    async with aclosing(provider.stream(_ONE_TOKEN)) as chunks:
        async for chunk in chunks:
            if chunk.useful or chunk.reasoning or chunk.finish_reason == "length":
                return None
            if failure := failure_before_a_word(chunk):
                return failure
    return failure_before_a_word(None)


async def _models(provider: Provider, within: float) -> tuple[Sequence[str], Failure | None]:
    within = min(_LIST_TIMEOUT, within)
    try:
        async with asyncio.timeout(within):
            return await provider.models(), None
    except AddressRefusedError:
        raise
    except UpstreamError as error:
        return (), classify(error, ())
    except TimeoutError:
        return (), Failure(FailureClass.SILENT, f"no list of models in {within:g} s")


async def _reach(provider: Provider, connection: Connection, clock: Clock) -> ProbeResult:
    started = clock.now()
    within = min(_LIST_TIMEOUT, connection.timeout)
    failure = await check_provider(provider, within, secrets=connection.secrets)
    return ProbeResult(latency=clock.now() - started, failure=failure)


async def _ask(
    provider: Provider,
    request: ChatRequest,
    connection: Connection,
    clock: Clock,
    on_text: Callable[[str], object],
) -> ProbeResult:
    result = ProbeResult()
    started = clock.now()
    within = min(_ANSWER_TIMEOUT, connection.timeout)
    try:
        async with asyncio.timeout(within):
            await _read(provider, request, result, lambda: clock.now() - started, on_text)
    except AddressRefusedError:
        raise
    except TimeoutError:
        kind = FailureClass.LOADING if result.loading else FailureClass.SILENT
        kind = FailureClass.STALLED if result.text else kind
        result.failure = Failure(kind, f"the answer was not whole after {within:g} s")
    except UpstreamError as error:
        result.failure = classify(error, request.messages, connection.secrets)
    result.latency = clock.now() - started
    return result


async def _read(
    provider: Provider,
    request: ChatRequest,
    result: ProbeResult,
    elapsed: Callable[[], float],
    on_text: Callable[[str], object],
) -> None:
    async with aclosing(provider.stream(request)) as chunks:
        async for chunk in chunks:
            result.text += chunk.text
            if chunk.text:
                on_text(chunk.text)
            result.usage = chunk.usage or result.usage
            result.loading = result.loading or chunk.loading
            if result.first_word is not None:
                if len(result.text) >= _MAX_ANSWER:
                    return
            elif chunk.useful:
                result.first_word = elapsed()
            elif failure := failure_before_a_word(chunk):
                result.failure = failure
                return
    if result.first_word is None:
        result.failure = failure_before_a_word(None)
