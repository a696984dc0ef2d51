"""Puts together the tools of one call: modules, HTTP requests, and MCP servers as they answer."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from livekit.agents import Agent, ToolError, llm

from agent.toolbox.http import HttpTools
from agent.toolbox.tool import Tool
from agent.tools import load
from agent.tools.base import ToolContext
from llm_router.errors import RouterError
from llm_router.net.guard import AddressGuard
from llm_router.voice.tools import HttpTool, McpServer

if TYPE_CHECKING:
    from agent.toolbox.mcp import McpTools

T = TypeVar("T", bound=llm.Tool | llm.Toolset)
_logger = logging.getLogger("patchbay.tools")


class CallTools:
    """The tools of one call. Close it at the end.

    `names` are modules of `agent.tools`; one that cannot be made is logged and left out, since a
    call without a tool beats none. `guard` says which addresses may be called.
    """

    def __init__(
        self,
        context: ToolContext,
        names: Sequence[str],
        http: Sequence[HttpTool] = (),
        mcp: Sequence[McpServer] = (),
        guard: AddressGuard | None = None,
    ) -> None:
        guard = guard or AddressGuard()
        self._effects = context.effects
        self._http = HttpTools(guard, context.effects)
        self._mcp = mcp
        self._guard = guard
        self._servers: list[McpTools] = []
        self.connecting: list[asyncio.Task[None]] = []
        """Tasks that end once their servers have given tools, or failed to."""
        self.says = {tool.name: tool.says for tool in http if tool.says}
        """Phrases for single tools while they run, by the names of the tools."""
        self.tools: Sequence[Tool] = _distinct(
            [*_load(names, context), *(self._http.tool(declared) for declared in http)]
        )
        """Tools that the call has from its start."""

    def connect(self, agent: Agent) -> None:
        """Begins to connect to the MCP servers; the agent gets their tools as they answer."""
        self.connecting = [
            asyncio.create_task(self._add(agent, server), name=f"tools of {server.name}")
            for server in self._mcp
        ]

    async def aclose(self) -> None:
        for task in self.connecting:
            task.cancel()
        if self.connecting:
            await asyncio.wait(self.connecting)
        await self._effects.aclose()
        for tools in self._servers:
            await tools.aclose()
        await self._http.aclose()

    async def _add(self, agent: Agent, server: McpServer) -> None:
        runner = await asyncio.to_thread(_mcp_tools)
        tools = runner(server, self._guard, self._effects)
        self._servers.append(tools)
        try:
            found = await tools.tools()
        except ToolError as error:
            _logger.warning(
                "MCP server %s: %s; this call goes on without its tools", server.name, error.message
            )
            return
        self.says.update({tool.id: server.says for tool in found if server.says})
        await agent.update_tools([*_distinct([*agent.tools, *found])])


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


def _distinct(made: Sequence[T]) -> list[T]:
    """Returns the tools without those of a name that an earlier one has."""
    by_name: dict[str, T] = {}
    for tool in made:
        if tool.id in by_name:
            _logger.warning("two tools are called %s; the first one is used", tool.id)
        by_name.setdefault(tool.id, tool)
    return [*by_name.values()]
