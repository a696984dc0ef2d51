"""A clock that jumps like `ManualClock`, for runs without sockets: a third faster."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from llm_router.clock import Timer

T = TypeVar("T")


class _Call:
    __slots__ = ("args", "callback")

    def __init__(self, callback: Callable[..., object] | None, args: tuple[Any, ...]) -> None:
        self.callback = callback
        self.args = args

    def cancel(self) -> None:
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        return self.callback is None


class SwiftClock:
    """The router's clock, and as much of an event loop as tasks, futures and timers need.

    It has no selector and no contexts: a task that waits for a thread or a socket waits for ever.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._soon = deque[_Call]()
        self._later: list[tuple[float, int, _Call]] = []
        self._timers = 0

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Runs until `main` ends. Raises RuntimeError when all tasks wait and no timer is set."""
        asyncio._set_running_loop(self)  # type: ignore[arg-type]  # noqa: SLF001  made for other loops
        try:
            task = self.create_task(main)
            while True:
                self._run_ready()
                if task.done():
                    return task.result()
                self._jump()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001  made for other loops

    def _run_ready(self) -> None:
        while self._soon:
            call = self._soon.popleft()
            if call.callback:
                call.callback(*call.args)

    def _jump(self) -> None:
        while self._later:
            when, _, call = heapq.heappop(self._later)
            if call.callback:
                self._now = max(self._now, when)
                self._soon.append(call)
                return
        raise RuntimeError("every task waits, and no timer is set that could wake one")

    # ── What asyncio expects of a loop ────────────────────────────────────────────────────────────

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> _Call:  # noqa: ARG002  asyncio's own signature
        call = _Call(callback, args)
        self._soon.append(call)
        return call

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Any = None,  # noqa: ARG002  asyncio's own signature
    ) -> Timer:
        self._timers += 1
        call = _Call(callback, args)
        heapq.heappush(self._later, (when, self._timers, call))
        return call

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        return self.call_at(self._now + delay, callback, *args)

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)  # type: ignore[arg-type]  # as much of a loop as it needs

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Any = None
    ) -> "asyncio.Task[T]":
        return asyncio.Task(coro, loop=self, name=name, context=context)  # type: ignore[arg-type]  # as above

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Raises the failure of a task that no other task awaited: a wrong bench must not go on."""
        raise RuntimeError(context["message"]) from context.get("exception")
