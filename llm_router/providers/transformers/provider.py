"""Runs a Hugging Face model in this process; `model_name` is its folder or its name on the hub.

This is for machines without a model server and for trying a model: every process that uses the
provider holds a copy of the model. A thread generates, so the event loop is never blocked.
"""

import asyncio
import importlib.util
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from llm_router.clock import Clock
from llm_router.connections.record import Connection
from llm_router.errors import AddressRefusedError, ConfigurationError, StatusError
from llm_router.net.guard import AddressGuard
from llm_router.providers._wire.lost_opening import LostOpening
from llm_router.providers._wire.machine_text import MachineTextFilter
from llm_router.providers._wire.model_load import ModelLoad
from llm_router.providers._wire.request import basic_continuation, function_call, text_of
from llm_router.providers._wire.text_prompt import NEXT_TURN, text_prompt
from llm_router.providers._wire.tool_calls import ToolCallAssembler, known_call_ids
from llm_router.providers._wire.tools import offered_tools
from llm_router.providers.transformers.text import Engine, TokenDecoder, TokenReplyParser
from llm_router.types import ChatRequest, Chunk, Message

_PROVIDER_OPTIONS = frozenset({"device", "dtype", "parallel", "waiting"})
"""Fields of `extra_body` that are no options of `generate`."""
_PARALLEL = 1  # replies
_WAITING = 4  # replies
_QUEUE_SIZE = 64
"""Chunks that the thread may generate before the reader takes the first of them."""
_WARM_TIMEOUT = 3.0  # s that `warm` waits for the model to be loaded; loading itself continues
_CLOSE_TIMEOUT = 5.0  # s that closing waits for the threads to finish their last token
_DEFAULT_MAX_TOKENS = 1024
"""The longest reply where neither the request, the connection nor the model sets a limit."""


def create(
    connection: Connection,
    clock: Clock,  # noqa: ARG001  part of every provider's `create`; deadlines are the router's
    guard: AddressGuard | None = None,
) -> "Transformers":
    """Raises ConfigurationError for a connection that cannot work and for missing packages."""
    who = f"connection {connection.name!r}"
    if guard and not guard.allow_private:
        raise AddressRefusedError(
            f"{who}: a model in this process reads this machine's files; an administrator can"
            " use it"
        )
    if not connection.model_name or connection.base_url:
        raise ConfigurationError(
            f"{who}: provider transformers runs model_name, a folder or a name on the hub, in this"
            " process; it has no base_url"
        )
    if missing := [name for name in ("transformers", "torch") if not _is_installed(name)]:
        raise ConfigurationError(
            f"{who}: {' and '.join(missing)} not installed: pip install transformers torch jinja2"
        )
    return Transformers(connection, lambda: _torch_engine(connection))


class Transformers:
    """Implements Provider (`base.py`). `load` runs in a thread and returns the loaded model.

    `extra_body` may set the `device` and `dtype`, the number of replies generated at the same time
    (`parallel`) and of those that may wait (`waiting`); its other fields are passed to `generate`.
    """

    last_resort = False
    lacks = frozenset({"json"})

    def __init__(self, connection: Connection, load: Callable[[], Engine]) -> None:
        self._connection = connection
        self.continuation = basic_continuation(connection)
        extra = connection.extra_body
        parallel = _count(connection, "parallel", extra.get("parallel", _PARALLEL), least=1)
        waiting = _count(connection, "waiting", extra.get("waiting", _WAITING), least=0)
        self._max_jobs = parallel + waiting
        self._threads = ThreadPoolExecutor(parallel, "transformers")
        self._load_engine = load
        self._engine: Engine | None = None
        self._model_load = ModelLoad(self._load)
        self._lost_opening = LostOpening()
        self._jobs: dict[Future[None], _ChunkQueue] = {}

    async def warm(self) -> None:
        if self._engine is None:
            await asyncio.wait({self._model_load.start()}, timeout=_WARM_TIMEOUT)

    async def probe(self) -> None:
        """Starts loading the model, and raises the error of the last load that has ended."""
        await self.warm()
        if self._model_load.has_ended:
            await self._model_load.wait()

    async def models(self) -> Sequence[str]:
        return (self._connection.model_name,)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        if self._engine is None:
            self._model_load.start()
            yield Chunk(loading=True)
            await self._model_load.wait()
        if self._engine is None or len(self._jobs) >= self._max_jobs:
            raise StatusError(503, code="queue_full", detail="queue full")
        queue = _ChunkQueue(asyncio.get_running_loop())
        job = self._threads.submit(self._run, self._engine, request, queue)
        self._jobs[job] = queue
        job.add_done_callback(lambda job: queue.call(self._jobs.pop, job, None))
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            queue.stop()
            job.cancel()  # if it has not begun; otherwise its thread stops after the next token

    async def aclose(self) -> None:
        await self._model_load.aclose()
        for job, queue in [*self._jobs.items()]:
            queue.stop()
            job.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                running = [asyncio.wrap_future(job) for job in self._jobs]
                await asyncio.gather(*running, return_exceptions=True)
        self._engine = None

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()
        self._engine = await loop.run_in_executor(self._threads, self._load_engine)

    # ── In a thread ──────────────────────────────────────────────────────────────────────────────

    def _run(self, engine: Engine, request: ChatRequest, queue: "_ChunkQueue") -> None:
        try:
            with self._lost_opening.filter(request) as text:
                queue.put(self._generate(engine, request, queue, text))
        except Exception as error:  # noqa: BLE001  raised again by `stream`, in the loop
            queue.put(error)
        queue.put(None)

    def _generate(
        self, engine: Engine, request: ChatRequest, queue: "_ChunkQueue", text: MachineTextFilter
    ) -> Chunk:
        prompt, stops = _prompt(engine, request, self._prefix(request))
        max_tokens = self._max_tokens(engine, len(prompt), request)
        parser = TokenReplyParser(
            TokenDecoder(engine.decode, prompt),
            [*request.stop, *stops],
            ToolCallAssembler(offered_tools(request), known_call_ids(request.messages)),
            text,
        )
        last = -1

        def on_token(token: int) -> bool:
            nonlocal last
            last = token
            if chunk := parser.feed(token):
                queue.put(chunk)
            return not (parser.is_over or queue.is_stopped)

        engine.generate(prompt, self._options(request, max_tokens), on_token)
        is_cut = (
            parser.tokens >= max_tokens and last not in engine.end_tokens and not parser.is_over
        )
        return parser.close(len(prompt), is_cut=is_cut)

    def _prefix(self, request: ChatRequest) -> str:
        return request.prefix.rstrip() if self.continuation == "trailing" else ""

    def _max_tokens(self, engine: Engine, prompt_tokens: int, request: ChatRequest) -> int:
        """Returns the longest reply, in tokens. Raises StatusError if the prompt leaves no room."""
        limits = [n for n in (engine.context_length, self._connection.context_length) if n]
        requested = request.max_tokens or self._connection.max_tokens
        left = min(limits) - prompt_tokens if limits else requested or _DEFAULT_MAX_TOKENS
        if left <= 0:
            raise StatusError(
                400,
                code="context_length_exceeded",
                detail=(
                    f"the prompt has {prompt_tokens} tokens,"
                    f" the model's context length is {min(limits)}"
                ),
            )
        return min(left, requested) if requested else left

    def _options(self, request: ChatRequest, max_tokens: int) -> dict[str, Any]:
        connection = self._connection
        temperature = connection.temperature if request.temperature is None else request.temperature
        top_p = connection.top_p if request.top_p is None else request.top_p
        options: dict[str, Any] = {"max_new_tokens": max_tokens, "seed": request.seed}
        if temperature is not None:
            options |= {"do_sample": temperature > 0, "temperature": temperature or None}
        options["top_p"] = None if temperature == 0 else top_p
        options |= {k: v for k, v in connection.extra_body.items() if k not in _PROVIDER_OPTIONS}
        return {name: value for name, value in options.items() if value is not None}


class _ChunkQueue:
    """Passes chunks from a thread to the event loop; a full queue blocks the thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: asyncio.Queue[Chunk | Exception | None] = asyncio.Queue()
        self._free = threading.Semaphore(_QUEUE_SIZE)
        self.is_stopped = False

    def put(self, item: Chunk | Exception | None) -> None:
        if not self.is_stopped:
            self._free.acquire()
            self.call(self._items.put_nowait, item)

    def call(self, callback: Callable[..., object], *args: object) -> None:
        """Calls `callback` in the event loop; does nothing once the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)

    async def get(self) -> Chunk | Exception | None:
        item = await self._items.get()
        self._free.release()
        return item

    def stop(self) -> None:
        """Discards all further items, so that the thread is not blocked without a reader."""
        self.is_stopped = True
        self._free.release()


def _prompt(engine: Engine, request: ChatRequest, prefix: str) -> tuple[list[int], list[str]]:
    """Returns the prompt's tokens and the texts to stop at."""
    messages = [_message(message) for message in request.messages]
    if prefix:
        messages.append({"role": "assistant", "content": prefix})
    tools = [] if request.tool_choice == "none" else request.tools
    prompt = engine.chat_prompt(messages, tools, continues=bool(prefix))
    if prompt is not None:
        return engine.encode(prompt, has_special_tokens=True), []
    stops = [NEXT_TURN] if len(request.messages) > 1 else []
    return engine.encode(text_prompt(request.messages, prefix), has_special_tokens=False), stops


def _message(message: Message) -> dict[str, Any]:
    """Converts a message for chat templates: content as one text, arguments as an object."""
    role = message["role"]
    clean = {"role": "system" if role == "developer" else role, "content": text_of(message)}
    if calls := message.get("tool_calls"):
        clean["tool_calls"] = [
            {"type": "function", "function": function_call(call)} for call in calls
        ]
    for name in ("name", "tool_call_id"):
        if message.get(name):
            clean[name] = message[name]
    return clean


def _torch_engine(connection: Connection) -> Engine:
    module = importlib.import_module("llm_router.providers.transformers.engine")
    extra = connection.extra_body
    engine: Engine = module.TorchEngine(
        connection.model_name, extra.get("device"), extra.get("dtype")
    )
    return engine


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def _count(connection: Connection, name: str, value: object, *, least: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value:
        return value
    raise ConfigurationError(
        f"connection {connection.name!r}: {name} in extra_body must be a number from {least} up"
    )
