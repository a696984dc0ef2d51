"""Loads the tools of a call; each module here gives one or a few, and is found by its name.

A tool is a function that the model may call. Modules do not import each other: what they share is
in `base`, the tools that a user declares without Python in `agent.toolbox`.
"""

from collections.abc import Iterable

from agent.toolbox.tool import Tool
from agent.tools.base import CreateTools, ToolContext
from llm_router.errors import ConfigurationError
from llm_router.plugins import Plugins

TOOLS: Plugins[CreateTools] = Plugins("agent.tools", "tool")


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
