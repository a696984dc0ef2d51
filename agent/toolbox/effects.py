"""Runs the tools of one call that change something: each at most once with the same arguments.

A model may ask twice for the same: after an interruption, when another model continues its reply,
or because it did not like the result. And a turn may end while its tool is running. So a run is a
task of the call, not of the turn, and a second request gets the result of the first run.
"""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from agent.survival.outcomes import NOTHING_DONE
from agent.toolbox.errors import ToolError
from llm_router.voice.redaction import redact_arguments

_MOST = 100
"""Runs of one call, so that a model that calls without end does not go on for ever."""
_LAST_WAIT = 5.0
"""Seconds that the end of a call waits for runs under way."""

Run = Callable[[str], Awaitable[str]]
"""Runs a tool once. It is given a key that is the same for the same call, tool and arguments."""


class NotDoneError(ToolError):
    """Raised when a tool has certainly changed nothing, so that it may be tried again."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{reason}{NOTHING_DONE}")


class OutcomeUnknownError(ToolError):
    """Raised when a tool may have done its work, and must not be repeated."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"{reason}; it is unknown whether it was done. Do not repeat it, and tell the caller so"
        )


class Effects:
    """The runs of one call. Close it at the end."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._runs: dict[str, asyncio.Future[str]] = {}
        self._earlier: dict[str, asyncio.Future[str]] = {}
        """Runs of earlier agents, whose arguments may be redacted."""
        self._unreported: dict[str, Mapping[str, Any]] = {}
        self._reading: set[str] = set()

    async def once(self, tool: str, arguments: Mapping[str, Any], run: Run) -> str:
        """Returns the result of the only run of a tool with these arguments.

        Cancelling it leaves the run under way. A run that raised NotDoneError may be repeated; one
        that failed otherwise raises OutcomeUnknownError, now and whenever it is asked for again.
        """
        key = self.key(tool, arguments)
        known = self._runs.get(key) or self._earlier_run(tool, arguments)
        is_new = known is None
        if known is None:
            if len(self._runs) >= _MOST:
                raise NotDoneError("too much was done in this call already")
            known = self._runs[key] = asyncio.create_task(_run(run, key), name=f"tool {tool}")
        try:
            result = await asyncio.shield(known)
        except ToolError as error:
            self._unreported.pop(key, None)
            if isinstance(error, NotDoneError) and self._runs.get(key) is known:
                del self._runs[key]
            raise
        except asyncio.CancelledError:
            if self._runs.get(key) is known:
                noted = json.dumps(arguments, default=str)
                self._unreported[key] = {"call_id": key, "name": tool, "arguments": noted}
            raise
        self._unreported.pop(key, None)
        if is_new:
            return result
        return f"Done already in this call, and not repeated. The result was: {result}"

    def recall(self, tool: str, arguments: Mapping[str, Any] | None, result: str | None) -> None:
        """Records the run of an earlier agent of the call, which is not repeated.

        `arguments` may be redacted; None: they are not known, and the tool does not run again in
        this call, whatever its arguments. `result` is None if the outcome is unknown; it does not
        replace a known result of the same run.
        """
        key = tool if arguments is None else self.key(tool, arguments)
        known = self._earlier.get(key)
        if known and (result is None or not known.exception()):
            return
        run = self._earlier[key] = asyncio.get_running_loop().create_future()
        if result is None:
            run.set_exception(OutcomeUnknownError("it was interrupted"))
            run.exception()  # so that asyncio does not report it as never read
        else:
            run.set_result(result)

    def only_reads(self, tool: str) -> None:
        """Notes that a tool changes nothing, so that another agent of the call may run it again."""
        self._reading.add(tool)

    def may_change(self, tool: str) -> bool:
        return tool not in self._reading

    @property
    def unreported(self) -> Sequence[Mapping[str, Any]]:
        """Runs whose result no turn has received, as `call_id`, `name` and `arguments`.

        Their turn was cancelled. One that has certainly changed nothing is none of them.
        """
        return [
            noted
            for key, noted in self._unreported.items()
            if not _has_done_nothing(self._runs[key])
        ]

    def key(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """Returns the name of a run: the same for the same call, tool and arguments.

        An empty argument is as one that is left out.
        """
        given = {name: value for name, value in arguments.items() if value not in ("", None)}
        said = json.dumps([self._call_id, tool, given], sort_keys=True, default=str)
        return hashlib.sha256(said.encode(errors="replace")).hexdigest()[:32]

    async def aclose(self) -> None:
        """Waits 5 s at most for the runs under way, and cancels the rest."""
        tasks = [run for run in self._runs.values() if not run.done()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_LAST_WAIT)
            for task in late:
                task.cancel()
            await asyncio.wait(tasks)

    def _earlier_run(self, tool: str, arguments: Mapping[str, Any]) -> asyncio.Future[str] | None:
        if not self._earlier:
            return None
        keys = self.key(tool, arguments), self.key(tool, redact_arguments(arguments)), tool
        return next((self._earlier[key] for key in keys if key in self._earlier), None)


def _has_done_nothing(run: asyncio.Future[str]) -> bool:
    return run.done() and not run.cancelled() and isinstance(run.exception(), NotDoneError)


async def _run(run: Run, key: str) -> str:
    try:
        return await run(key)
    except NotDoneError:
        raise
    except ToolError as error:
        raise OutcomeUnknownError(error.message) from error
    except Exception as error:  # a tool's own bug may come after its effect
        raise OutcomeUnknownError("it failed") from error
