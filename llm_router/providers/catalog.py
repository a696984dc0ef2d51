"""Servers that speak the chat-completions wire, each a row: what is peculiar to it.

A row says only what somebody saw or what the maker's documentation states; the source stands
beside it. "Seen" means: tried against the engine itself. What no row says is done as OpenAI does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from llm_router.connections import Connection, Continuation
from llm_router.errors import UnknownPluginError

# A template that does not know the switch ignores it, so it is safe for every model they serve.
_NO_THINKING = MappingProxyType({"chat_template_kwargs": {"enable_thinking": False}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What to know before asking a server; the defaults are OpenAI's own ways."""

    name: str
    hosts: tuple[str, ...] = ()
    """`api.x.com`; `.x.com` for all below it; `api.x.com/beta` where the path matters."""
    port: int | None = None
    """Its usual port. Two rows with one port: the port tells nothing."""
    path: str = "/v1"
    """Where the API stands when the address does not say."""
    native_path: str = ""
    """The path of its own API, which people give in place of `path`."""
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    continuation: Continuation = "words"
    takes_stream_options: bool = True
    takes_strict_tools: bool = False
    """Whether `strict` may stand in a tool. Many servers refuse what they do not know."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    seed_field: str = "seed"
    empty_content: str | None = None
    """What an assistant message that only calls tools has for content."""
    short_call_ids: bool = False
    """Ids of tool calls must be nine letters and digits."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Keeps a model from thinking at length before it speaks; the connection's own goes on top."""


_ROWS = (
    # Engines one runs oneself.
    Server(
        name="vllm",
        port=8000,
        continuation="flags",  # seen, 0.32.0; without the flags it starts a new reply
        extra_body=_NO_THINKING,  # docs.vllm.ai, features/reasoning_outputs
    ),
    Server(
        name="sglang",
        port=30000,  # docs.sglang.ai, server_arguments
        continuation="flags",  # sglang, entrypoints/openai/protocol.py: continue_final_message
        extra_body=_NO_THINKING,  # docs.sglang.ai, separate_reasoning
    ),
    Server(
        name="llama_cpp",
        port=8080,
        continuation="flags",  # seen, llama-server; without the flags it repeats the prefix
        extra_body=_NO_THINKING,  # llama.cpp, tools/server/README.md: chat_template_kwargs
    ),
    Server(
        name="llama_cpp_python",
        port=8000,
        empty_content="",  # seen, 0.3.36: answers 500 to null
    ),
    Server(
        name="ollama",
        port=11434,
        native_path="/api",
        continuation="trailing",  # seen, 0.9.6
        empty_content=None,  # seen, 0.9.6: an empty text loses the tool calls beside it
        extra_body=MappingProxyType({"reasoning_effort": "none"}),  # docs.ollama.com, openai
    ),
    Server(
        name="tgi",
        port=8080,
        continuation="trailing",  # text-generation-inference 3: continues a last assistant message
    ),
    Server(name="litellm", port=4000),  # docs.litellm.ai, proxy; what lies behind is not known
    Server(name="lm_studio", port=1234),  # lmstudio.ai/docs, OpenAI compatibility
    Server(name="localai", port=8080),  # localai.io
    # Services.
    Server(
        name="groq",
        hosts=("api.groq.com",),
        path="/openai/v1",
        continuation="trailing",  # console.groq.com/docs/prefilling
        max_tokens_field="max_completion_tokens",  # console.groq.com/docs/api-reference
    ),
    Server(name="together", hosts=("api.together.xyz", "api.together.ai")),
    Server(name="openrouter", hosts=("openrouter.ai",), path="/api/v1"),
    Server(
        name="mistral",
        hosts=("api.mistral.ai",),
        continuation="prefix",  # docs.mistral.ai, capabilities/completion: prefix
        takes_stream_options=False,  # refused as an extra input; usage comes without being asked
        seed_field="random_seed",  # docs.mistral.ai/api
        short_call_ids=True,  # "must be a-z, A-Z, 0-9, with a length of 9"
    ),
    Server(
        name="deepseek_beta",
        hosts=("api.deepseek.com/beta",),
        path="/beta",
        continuation="prefix",  # api-docs.deepseek.com, guides/chat_prefix_completion
        extra_body=MappingProxyType({"thinking": {"type": "disabled"}}),
    ),
    Server(
        name="deepseek",
        hosts=("api.deepseek.com",),
        # api-docs.deepseek.com, guides/thinking_mode: on unless switched off
        extra_body=MappingProxyType({"thinking": {"type": "disabled"}}),
    ),
    Server(name="moonshot", hosts=("api.moonshot.ai", "api.moonshot.cn"), continuation="partial"),
    Server(
        name="dashscope",
        hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"),
        path="/compatible-mode/v1",
        continuation="partial",  # alibabacloud.com/help, model-studio: partial mode
        # The same pages, deep thinking: on unless switched off since Qwen 3.5.
        extra_body=MappingProxyType({"enable_thinking": False}),
    ),
    Server(name="xai", hosts=("api.x.ai",)),  # livekit/agents #2253: refuses strict tools
    Server(name="fireworks", hosts=("api.fireworks.ai",), path="/inference/v1"),
    Server(
        name="cerebras",
        hosts=("api.cerebras.ai",),
        # inference-docs.cerebras.ai/api-reference; livekit/agents #3134: refuses strict tools
        max_tokens_field="max_completion_tokens",
    ),
    Server(
        name="openai",
        hosts=("api.openai.com",),
        takes_strict_tools=True,
        max_tokens_field="max_completion_tokens",  # max_tokens is deprecated, and refused by o1 on
    ),
    Server(
        name="azure",
        hosts=(".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"),
        path="/openai/v1",
        key_header="api-key",  # learn.microsoft.com, azure openai reference
        key_prefix="",
        takes_strict_tools=True,
        max_tokens_field="max_completion_tokens",
    ),
    Server(
        name="gemini",
        hosts=("generativelanguage.googleapis.com",),
        path="/v1beta/openai",  # ai.google.dev/gemini-api/docs/openai
    ),
    Server(name="unknown"),
)

SERVERS: Mapping[str, Server] = MappingProxyType({row.name: row for row in _ROWS})

# A version, or what takes its place in Azure's older addresses.
_VERSIONED = re.compile(r"/(v\d[a-z0-9]*|deployments)(/|$)")


def find(connection: Connection) -> Server:
    """The row a connection names, else the one its address tells, else `unknown`.

    A port tells only where a single engine is known to use it: taking one server for another would
    ask it for what it cannot do. Raises UnknownPluginError, which lists the known names.
    """
    if connection.server:
        if connection.server not in SERVERS:
            raise UnknownPluginError("server", connection.server, sorted(SERVERS))
        return SERVERS[connection.server]
    address = urlsplit(connection.base_url)
    for row in _ROWS:
        if any(_is_at(address, host) for host in row.hosts):
            return row
    port = _port(address)
    same_port = [row for row in _ROWS if row.port and row.port == port]
    return same_port[0] if len(same_port) == 1 else SERVERS["unknown"]


def _port(address: SplitResult) -> int | None:
    try:
        return address.port
    except ValueError:  # no number, or too high a one: refused where the address is used
        return None


def _is_at(address: SplitResult, host: str) -> bool:
    name, slash, path = host.partition("/")
    here = address.hostname or ""
    return (here.endswith(name) if name.startswith(".") else here == name) and (
        f"{address.path}/".startswith(f"/{path}/") if slash else True
    )


def api_root(base_url: str, server: Server) -> tuple[str, str]:
    """The address below which the API's routes stand, without a last slash; and its query.

    A version in the address is kept as it is; without one the server's own path is taken. An
    address of the chat route itself is accepted and says everything.
    """
    parts = urlsplit(base_url)
    given = parts.path.rstrip("/")
    path = given.removesuffix("/chat/completions")
    if server.native_path:
        path = path.removesuffix(server.native_path)
    if given.endswith("/chat/completions") or _VERSIONED.search(path):
        pass
    elif server.path.startswith(f"{path}/") or server.path == path:
        path = server.path
    else:
        path += "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}", parts.query
