"""A Hugging Face model in this very process; `model_name` is its folder, or its name on the hub.

For a machine that has no model server, and for trying one out: every process that uses it holds a
copy. Words come from a thread; the loop is never held up.
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
from llm_router.providers._wire.loading import Loading
from llm_router.providers._wire.plain import NEXT_TURN, plain_prompt
from llm_router.providers._wire.reply import taken_call_ids
from llm_router.providers._wire.request import function_called, text_of, trailing_or_words
from llm_router.providers.transformers.text import Answer, Engine, Words
from llm_router.types import ChatRequest, Chunk, Message

_OWN = frozenset({"device", "dtype", "parallel", "waiting"})
"""Of an `extra_body`: what is no option of `generate`."""
_PARALLEL, _WAITING = 1, 4
_AHEAD = 64
"""Chunks that a thread may be ahead of whoever reads them."""
_WARM = 3.0  # s that a start is held up for a model to be loaded; it goes on being loaded
_LEAVING = 5.0  # s that closing waits for a thread to take its last step


def create(
    connection: Connection,
    clock: Clock,  # noqa: ARG001  part of every provider's `create`; deadlines are the router's
    guard: AddressGuard | None = None,
) -> "Transformers":
    """Raises ConfigurationError for a record that cannot work, and where packages are missing."""
    who = f"connection {connection.name!r}"
    if guard and not guard.allow_private:
        raise AddressRefusedError(
            f"{who}: a model in this process reads this machine's files; an administrator can"
            " ask it"
        )
    if not connection.model_name or connection.base_url:
        raise ConfigurationError(
            f"{who}: provider transformers runs model_name, a folder or a name on the hub, in this"
            " process; it has no base_url"
        )
    if missing := [name for name in ("transformers", "torch") if not _is_installed(name)]:
        raise ConfigurationError(
            f"{who}: {' and '.join(missing)} not installed: pip install 'patchbay[transformers]'"
        )
    return Transformers(connection, lambda: _torch_engine(connection))


class Transformers:
    """A Provider (see `base.py`). `load` makes the model, in a thread.

    `extra_body` may say the `device` and `dtype`, how many answers are generated side by side
    (`parallel`) and how many more may wait (`waiting`); all else in it goes to `generate`.
    """

    last_resort = False

    def __init__(self, connection: Connection, load: Callable[[], Engine]) -> None:
        self._connection = connection
        self.continuation = trailing_or_words(connection)
        extra = connection.extra_body
        parallel = _count(connection, "parallel", extra.get("parallel", _PARALLEL), least=1)
        waiting = _count(connection, "waiting", extra.get("waiting", _WAITING), least=0)
        self._most = parallel + waiting
        self._threads = ThreadPoolExecutor(parallel, "transformers")
        self._make = load
        self._engine: Engine | None = None
        self._loading = Loading(self._load)
        self._jobs: dict[Future[None], _Line] = {}

    async def warm(self) -> None:
        if self._engine is None:
            await asyncio.wait({self._loading.begin()}, timeout=_WARM)

    async def probe(self) -> None:
        """Whether it can be loaded shows once it was tried."""
        await self.warm()
        if self._loading.has_ended:
            await self._loading.outcome()

    async def models(self) -> Sequence[str]:
        return (self._connection.model_name,)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        if self._engine is None:
            self._loading.begin()
            yield Chunk(loading=True)
            await self._loading.outcome()
        if self._engine is None or len(self._jobs) >= self._most:
            raise StatusError(503, code="queue_full", detail="queue full")
        line = _Line(asyncio.get_running_loop())
        job = self._threads.submit(self._run, self._engine, request, line)
        self._jobs[job] = line
        job.add_done_callback(lambda job: line.call(self._jobs.pop, job, None))
        try:
            while (said := await line.next()) is not None:
                if isinstance(said, BaseException):
                    raise said
                yield said
        finally:
            line.stop()
            job.cancel()  # where it has not begun; else its thread ends with the next token

    async def aclose(self) -> None:
        await self._loading.aclose()
        for job, line in [*self._jobs.items()]:
            line.stop()
            job.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING):
                running = [asyncio.wrap_future(job) for job in self._jobs]
                await asyncio.gather(*running, return_exceptions=True)
        self._engine = None

    async def _load(self) -> None:
        loop = asyncio.get_running_loop()
        self._engine = await loop.run_in_executor(self._threads, self._make)

    # ── In a thread ──────────────────────────────────────────────────────────────────────────────

    def _run(self, engine: Engine, request: ChatRequest, line: "_Line") -> None:
        try:
            line.say(self._generate(engine, request, line))
        except Exception as error:  # noqa: BLE001  raised where somebody reads: a thread has nobody
            line.say(error)
        line.say(None)

    def _generate(self, engine: Engine, request: ChatRequest, line: "_Line") -> Chunk:
        prompt, stops = _prompt(engine, request, self._prefix(request))
        most = self._room(engine, len(prompt), request)
        answer = Answer(
            Words(engine.decode, prompt),
            [*request.stop, *stops],
            taken_call_ids(request.messages),
            has_tools=bool(request.tools),
        )
        last = -1

        def each(token: int) -> bool:
            nonlocal last
            last = token
            if chunk := answer.feed(token):
                line.say(chunk)
            return not (answer.is_over or line.is_stopped)

        engine.generate(prompt, self._options(request, most), each)
        is_cut = answer.tokens >= most and last not in engine.ends and not answer.is_over
        return answer.close(len(prompt), is_cut=is_cut)

    def _prefix(self, request: ChatRequest) -> str:
        return request.prefix.rstrip() if self.continuation == "trailing" else ""

    def _room(self, engine: Engine, prompt: int, request: ChatRequest) -> int:
        """Tokens the answer may have. Raises StatusError where the prompt leaves none."""
        limits = [n for n in (engine.context_length, self._connection.context_length) if n]
        asked = request.max_tokens or self._connection.max_tokens
        left = min(limits) - prompt if limits else asked or _UNLIMITED
        if left <= 0:
            raise StatusError(
                400,
                code="context_length_exceeded",
                detail=f"the prompt has {prompt} tokens, the model's context length {min(limits)}",
            )
        return min(left, asked) if asked else left

    def _options(self, request: ChatRequest, most: int) -> dict[str, Any]:
        connection = self._connection
        heat = connection.temperature if request.temperature is None else request.temperature
        top_p = connection.top_p if request.top_p is None else request.top_p
        options: dict[str, Any] = {"max_new_tokens": most, "seed": request.seed}
        if heat is not None:
            options |= {"do_sample": heat > 0, "temperature": heat or None}
        options["top_p"] = None if heat == 0 else top_p
        options |= {k: v for k, v in connection.extra_body.items() if k not in _OWN}
        return {name: value for name, value in options.items() if value is not None}


_UNLIMITED = 1024
"""Tokens of an answer where nobody knows how many there may be."""


class _Line:
    """From a thread to the loop. The thread waits where it is too far ahead of its reader."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._said: asyncio.Queue[Chunk | Exception | None] = asyncio.Queue()
        self._room = threading.Semaphore(_AHEAD)
        self.is_stopped = False

    def say(self, said: Chunk | Exception | None) -> None:
        if not self.is_stopped:
            self._room.acquire()
            self.call(self._said.put_nowait, said)

    def call(self, what: Callable[..., object], *given: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(what, *given)

    async def next(self) -> Chunk | Exception | None:
        said = await self._said.get()
        self._room.release()
        return said

    def stop(self) -> None:
        """Nobody reads any more: what is said from now on is thrown away at once."""
        self.is_stopped = True
        self._room.release()


def _prompt(engine: Engine, request: ChatRequest, prefix: str) -> tuple[list[int], list[str]]:
    """The prompt's tokens, and words to stop at."""
    messages = [_message(message) for message in request.messages]
    if prefix:
        messages.append({"role": "assistant", "content": prefix})
    tools = [] if request.tool_choice == "none" else request.tools
    prompt = engine.chat_prompt(messages, tools, goes_on=bool(prefix))
    if prompt is not None:
        return engine.encode(prompt, has_marks=True), []
    stops = [NEXT_TURN] if len(request.messages) > 1 else []
    return engine.encode(plain_prompt(request.messages, prefix), has_marks=False), stops


def _message(message: Message) -> dict[str, Any]:
    """As templates take it: words as one text, arguments as an object."""
    role = message["role"]
    clean = {"role": "system" if role == "developer" else role, "content": text_of(message)}
    if calls := message.get("tool_calls"):
        clean["tool_calls"] = [
            {"type": "function", "function": function_called(call)} for call in calls
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
