"""Declares the tools that a model may call, in a form of our own that needs nothing of LiveKit.

A declared tool works in calls and in conversations in writing. A tool in LiveKit's form works in
calls alone: it may use the session and the room.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import getdoc, signature
from typing import TYPE_CHECKING, Any, TypeAlias, get_type_hints

import docstring_parser
from pydantic import BaseModel, Field, ValidationError, create_model

from agent.toolbox.errors import ToolError

if TYPE_CHECKING:
    from livekit.agents.llm import FunctionTool, RawFunctionTool

LiveKitTool: TypeAlias = "FunctionTool[..., Any] | RawFunctionTool[..., Any]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeclaredTool:
    """A tool that needs nothing of LiveKit. `id` is the name by which a model calls it.

    `run` takes the arguments, and returns the text that the model gets. It raises ToolError with
    one line for the model.
    """

    id: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of its arguments, an object."""
    run: Callable[[Mapping[str, Any]], Awaitable[str]] = field(repr=False)
    function: Callable[..., Awaitable[str]] | None = field(default=None, repr=False)
    """The function that it was made of, whose parameters are the arguments; None: of none."""


Tool: TypeAlias = "DeclaredTool | LiveKitTool"


def tool(function: Callable[..., Awaitable[str]]) -> DeclaredTool:
    """Makes a tool of a function: its name, its docstring and its parameters are the model's.

    The docstring may say what each parameter is, below `Args:`.
    """
    parsed = docstring_parser.parse(getdoc(function) or "")
    about = {each.arg_name: each.description for each in parsed.params}
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        name: (
            hints[name],
            Field(
                ... if parameter.default is parameter.empty else parameter.default,
                description=about.get(name),
            ),
        )
        for name, parameter in signature(function).parameters.items()
    }
    model = create_model(function.__name__, **fields)

    async def run(arguments: Mapping[str, Any]) -> str:
        return await function(**_checked(model, arguments))

    return DeclaredTool(
        id=function.__name__,
        description=(parsed.description or "").strip(),
        parameters=model.model_json_schema(),
        run=run,
        function=function,
    )


def _checked(model: type[BaseModel], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the arguments as the function takes them. Raises ToolError if they do not fit."""
    try:
        made = model.model_validate(arguments)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise ToolError(f"the arguments do not fit: {place}: {fault['msg']}") from None
    return {name: getattr(made, name) for name in model.model_fields}
