"""Loads the tools of a call; each module here gives one or a few, and is found by its name.

A tool is a function that the model may call. Modules do not import each other: what they share is
in `base`, the tools that a user declares without Python in `agent.toolbox`. A module that imports
LiveKit is for calls alone; the others are for conversations in writing, too.
"""

import ast
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from agent.toolbox.tool import Tool
from agent.tools.base import CreateTools, ToolContext
from llm_router.errors import ConfigurationError, UnknownPluginError
from llm_router.plugins import Plugins

TOOLS: Plugins[CreateTools] = Plugins("agent.tools", "tool")
USUAL = ("time", "documents", "transfer", "end_call")
"""Modules of an assistant that names none."""


@cache  # each reply in writing asks
def needs_livekit(name: str) -> bool:
    """Returns whether a module imports LiveKit, so that its tools are for calls alone.

    The module itself is not imported, since a process without calls must not load LiveKit. Reads
    its file. Raises UnknownPluginError.
    """
    if name not in TOOLS.names():
        raise UnknownPluginError(TOOLS.kind, name, TOOLS.names())
    spec = importlib.util.find_spec(f"{TOOLS.package}.{name}")
    source = Path(spec.origin).read_bytes() if spec and spec.origin else b""
    return any(_imports_livekit(node) for node in ast.walk(ast.parse(source)))


def _imports_livekit(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            modules = [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            modules = [module]
        case _:
            return False
    return any(module.partition(".")[0] == "livekit" for module in modules)


def load(names: Iterable[str], context: ToolContext) -> list[Tool]:
    """Makes the tools of these modules for one call.

    Raises UnknownPluginError, which lists the modules, and ConfigurationError for two tools of one
    name, of which a model could call only one.
    """
    tools: dict[str, Tool] = {}
    for module in dict.fromkeys(names):
        for tool in TOOLS.load(module)(context):
            if tool.id in tools:
                raise ConfigurationError(f"tool {module!r}: another tool is called {tool.id!r}")
            tools[tool.id] = tool
    return [*tools.values()]
