"""Puts together the tools of one conversation: modules, HTTP requests, and MCP servers."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from agent.toolbox.errors import ToolError
from agent.toolbox.http import HttpTools
from agent.toolbox.tool import DeclaredTool, Tool
from agent.tools import load
from agent.tools.base import ToolContext
from llm_router.errors import RouterError
from llm_router.net.guard import AddressGuard
from llm_router.voice.tools import HttpTool, McpServer

if TYPE_CHECKING:
    from agent.toolbox.mcp import McpTools

_logger = logging.getLogger("patchbay.tools")


class Named(Protocol):
    """A tool or a set of them, which a model knows by a name."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Named)


class ToolSet:
    """The tools of one conversation. Close it at the end.

    `names` are modules of `agent.tools`; one that cannot be made is logged and left out, since a
    call without a tool beats none. `guard` says which addresses may be called.
    """

    def __init__(
        self,
        context: ToolContext,
        names: Sequence[str],
        http: Sequence[HttpTool] = (),
        guard: AddressGuard | None = None,
    ) -> None:
        self.context = context
        self._guard = guard or AddressGuard()
        self._http = HttpTools(self._guard, context.effects, context.secrets)
        self._servers: list[McpTools] = []
        self.tools: Sequence[Tool] = distinct(
            [*_load(names, context), *(self._http.tool(declared) for declared in http)]
        )
        """Tools that are there from the start."""

    async def connect(self, server: McpServer) -> Sequence[DeclaredTool]:
        """Returns the tools of an MCP server; none, which is logged, if it does not answer."""
        runner = await asyncio.to_thread(_mcp_tools)
        tools = runner(server, self._guard, self.context.effects, self.context.secrets)
        self._servers.append(tools)
        try:
            return await tools.tools()
        except ToolError as error:
            _logger.warning(
                "MCP server %s: %s; this call goes on without its tools", server.name, error.message
            )
            return ()

    async def aclose(self) -> None:
        await self.context.effects.aclose()
        for tools in self._servers:
            await tools.aclose()
        await self._http.aclose()


def distinct(made: Sequence[T]) -> list[T]:
    """Returns the tools without those of a name that an earlier one has."""
    by_name: dict[str, T] = {}
    for tool in made:
        if tool.id in by_name:
            _logger.warning("two tools are called %s; the first one is used", tool.id)
        by_name.setdefault(tool.id, tool)
    return [*by_name.values()]


def _mcp_tools() -> "type[McpTools]":
    from agent.toolbox.mcp import McpTools  # noqa: PLC0415  the SDK takes 20 MB and half a second

    return McpTools


def _load(names: Sequence[str], context: ToolContext) -> list[Tool]:
    made: list[Tool] = []
    for name in dict.fromkeys(names):
        try:
            made += load([name], context)
        except RouterError as error:
            _logger.error("this call goes on without a tool: %s", error)  # noqa: TRY400  it says it all
    return made
