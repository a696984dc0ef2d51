"""Builds the MCP server: which tools and resources there are for a caller, and calling them."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
    ToolAnnotations,
)
from mcp_types import Tool as ToolRead
from pydantic import BaseModel, ValidationError

from llm_router.connections.access import Actor, may_act
from llm_router.errors import NotFoundError, RouterError
from llm_router.gateway.deps import Services
from llm_router.gateway.errors import Problem, invalid_request, problem_of
from llm_router.gateway.mcp import changes, reads
from llm_router.gateway.mcp.notices import BOARD, MOST_LISTENERS, ConnectionNotices
from llm_router.gateway.mcp.queries import query_tools
from llm_router.gateway.mcp.results import data, said
from llm_router.gateway.mcp.tool import Call, Result, Tool
from llm_router.version import __version__

_NAME = "patchbay"
_INSTRUCTIONS = (
    "Language models behind Patchbay's router: ask them, see how they do, switch them. Names are"
    " those of list_connections."
)
_TOOLS_FRESH_FOR = 2_000
"""Milliseconds for which a client need not list the tools again; changes hold as soon elsewhere."""
_REPLIES = "patchbay://replies/"

_FIXED = {tool.name: tool for tool in (*reads.TOOLS, *changes.TOOLS)}

Context = ServerRequestContext[Any, Any]


def build_manager(
    services: Services, actor_of: Callable[[Context], Actor]
) -> StreamableHTTPSessionManager:
    """Builds what serves over HTTP, without sessions."""
    return StreamableHTTPSessionManager(app=build_server(services, actor_of), stateless=True)


def build_server(services: Services, actor_of: Callable[[Context], Actor]) -> Server[Any]:
    """Builds the server; `actor_of` returns the author of a request."""
    handlers = _Handlers(services, actor_of)
    notices = ConnectionNotices(services.store)
    server: Server[Any] = Server(
        _NAME,
        version=__version__,
        title="Patchbay",
        instructions=_INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=_TOOLS_FRESH_FOR, scope="private")},
        # Its tools take no arguments from headers: this saves listing them before each call.
        get_tool_input_schema=lambda _: None,
        lifespan=lambda _: notices.running(),
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
        on_subscriptions_listen=ListenHandler(notices, max_subscriptions=MOST_LISTENERS),
    )
    security = RequestStateSecurity(
        keys=services.vault.derive("MCP's questions"),
        bind_principal=lambda context: actor_of(context).key_id,
    )
    server.middleware.append(RequestStateBoundary(security, default_audience=_NAME))
    return server


class _Handlers:
    """The handlers of one server."""

    def __init__(self, services: Services, actor_of: Callable[[Context], Actor]) -> None:
        self._services = services
        self._actor_of = actor_of

    async def list_tools(
        self, context: Context, _: PaginatedRequestParams | None
    ) -> ListToolsResult:
        tools = await self._tools(self._actor_of(context))
        return ListToolsResult(tools=[_described(tool) for tool in tools])

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> Result:
        """Calls a tool. What it refuses, or a server fails at, is a result that says so."""
        actor = self._actor_of(context)
        try:
            tool = await self._tool(actor, params.name)
            arguments = tool.arguments.model_validate(params.arguments or {})
            return await tool.run(
                Call(
                    services=self._services,
                    actor=actor,
                    context=context,
                    params=params,
                    arguments=arguments,
                )
            )
        except ValidationError as error:
            return said(_faults(error), is_error=True)
        except Problem as problem:
            return said(problem.detail, is_error=True)
        except RouterError as error:
            return said(problem_of(error).detail, is_error=True)

    async def list_resources(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        board = Resource(
            uri=BOARD,
            name="board",
            description="The connections and their state.",
            mime_type="application/json",
        )
        return ListResourcesResult(resources=[board])

    async def list_templates(
        self, _: Context, __: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        replies = ResourceTemplate(
            uri_template=f"{_REPLIES}{{id}}",
            name="reply",
            description="The attempts behind a reply.",
            mime_type="application/json",
        )
        return ListResourceTemplatesResult(resource_templates=[replies])

    async def read_resource(
        self, context: Context, params: ReadResourceRequestParams
    ) -> ReadResourceResult:
        """Reads a resource. Raises MCPError for one that there is not."""
        try:
            value = await self._value(self._actor_of(context), params.uri)
        except RouterError as error:
            raise MCPError(INVALID_PARAMS, problem_of(error).detail) from None
        [text] = data(value).content
        contents = TextResourceContents(
            uri=params.uri, mime_type="application/json", text=getattr(text, "text", "")
        )
        return ReadResourceResult(contents=[contents])

    async def _value(self, actor: Actor, uri: str) -> Mapping[str, Any]:
        if uri == BOARD:
            return await reads.board(self._services, actor)
        if uri.startswith(_REPLIES):
            return await reads.receipt(self._services, actor, uri.removeprefix(_REPLIES))
        raise NotFoundError(f"there is no such resource; there is {BOARD} and {_REPLIES}{{id}}")

    async def _tools(self, actor: Actor) -> list[Tool]:
        fixed = [tool for tool in _FIXED.values() if may_act(actor, tool.action)]
        return [*await query_tools(self._services, actor), *fixed]

    async def _tool(self, actor: Actor, name: str) -> Tool:
        """Returns the tool of this name. Raises MCPError where the actor has none."""
        if (tool := _FIXED.get(name)) and may_act(actor, tool.action):
            return tool
        tools = {tool.name: tool for tool in await self._tools(actor)}
        if name in tools:
            return tools[name]
        raise MCPError(
            INVALID_PARAMS, f"Unknown tool: {name[:100]!r}; there is: {', '.join(tools)}"
        )


def _described(tool: Tool) -> ToolRead:
    return ToolRead(
        name=tool.name,
        description=tool.description,
        input_schema=_schema(tool.arguments),
        annotations=ToolAnnotations(
            read_only_hint=not tool.changes,
            destructive_hint=tool.changes,
            open_world_hint=tool.asks_servers,
        ),
    )


def _schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """Returns the JSON schema without what costs a context much and says little."""
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
        field.pop("pattern", None)
    return schema


def _faults(error: ValidationError) -> str:
    return invalid_request([*_errors(error)]).detail


def _errors(error: ValidationError) -> Iterator[Mapping[str, Any]]:
    """Yields each fault without the value, which may be a caller's words."""
    yield from error.errors(include_url=False, include_context=False, include_input=False)
