"""Gives tools the form in which LiveKit's sessions run them."""

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import isawaitable
from typing import Any

from livekit.agents import StopResponse, function_tool
from livekit.agents import ToolError as LiveKitError

from agent.toolbox.errors import NoReplyError, ToolError
from agent.toolbox.tool import DeclaredTool, LiveKitTool, Tool


def for_livekit(tool: Tool) -> LiveKitTool:
    """Returns the tool in LiveKit's form, with LiveKit's own errors."""
    if not isinstance(tool, DeclaredTool):
        return type(tool)(_with_its_errors(tool.__wrapped__), tool.info)  # type: ignore[arg-type,union-attr]  # functools sets the one, and its own kind has the other
    if tool.function:
        return function_tool(_with_its_errors(tool.function))

    async def run(raw_arguments: dict[str, object]) -> str:
        return await tool.run(raw_arguments)

    schema = {
        "name": tool.id,
        "description": tool.description,
        "parameters": dict(tool.parameters),
    }
    return function_tool(_with_its_errors(run), raw_schema=schema)


def _with_its_errors(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    @wraps(function)
    async def run(*positional: Any, **named: Any) -> Any:
        try:
            result = function(*positional, **named)
            return await result if isawaitable(result) else result
        except ToolError as error:
            raise LiveKitError(error.message) from error
        except NoReplyError:
            raise StopResponse from None

    return run
