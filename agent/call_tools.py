"""Gives the tools of one call to its agent, those of MCP servers as they answer."""

import asyncio
from collections.abc import Sequence

from livekit.agents import Agent

from agent.tool_set import ToolSet, distinct
from agent.toolbox.livekit_form import for_livekit
from agent.toolbox.tool import LiveKitTool
from agent.tools.base import ToolContext
from llm_router.net.guard import AddressGuard
from llm_router.voice.tools import HttpTool, McpServer


class CallTools:
    """The tools of one call, see `ToolSet`. Close it at the end."""

    def __init__(
        self,
        context: ToolContext,
        names: Sequence[str],
        http: Sequence[HttpTool] = (),
        mcp: Sequence[McpServer] = (),
        guard: AddressGuard | None = None,
    ) -> None:
        self.context = context
        self._set = ToolSet(context, names, http, guard)
        self._mcp = mcp
        self.connecting: list[asyncio.Task[None]] = []
        """Tasks that end once their servers have given tools, or failed to."""
        self.says = {tool.name: tool.says for tool in http if tool.says}
        """Phrases for single tools while they run, by the names of the tools; empty: silence."""
        self.tools: Sequence[LiveKitTool] = [for_livekit(tool) for tool in self._set.tools]
        """Tools that the call has from its start."""
        self.says |= dict.fromkeys(context.waiting, "")

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
        await self._set.aclose()

    async def _add(self, agent: Agent, server: McpServer) -> None:
        found = [for_livekit(tool) for tool in await self._set.connect(server)]
        if found:
            self.says.update({tool.id: server.says for tool in found if server.says})
            await agent.update_tools([*distinct([*agent.tools, *found])])
