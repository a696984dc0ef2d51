"""Lists the servers that speak chat completions, one row for each, with its differences.

A row holds only observed or documented facts: `source` names the document, and a fact from another
source has that beside it. "Seen" means tried against the engine itself. Where a row says nothing,
the server behaves like OpenAI's. The errors of all servers are in one table, in
`classification/words.py`.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from llm_router.catalog.server import Server, body
from llm_router.connections.record import Connection
from llm_router.errors import UnknownPluginError

__all__ = ["SERVERS", "Server", "adapt", "api_root", "default_provider", "find_server"]

# Templates without this switch ignore it, so it is safe for every model of these servers.
_NO_THINKING = body(chat_template_kwargs={"enable_thinking": False})
_OPENAI_MODELS = {  # livekit-plugins-openai 1.8.9, llm.py; other models refuse the field
    r"gpt-5\.\d": body(reasoning_effort="none"),
    r"gpt-5(?!-chat|-pro)": body(reasoning_effort="minimal"),
    r"(^|/)o[134](-|$)": body(reasoning_effort="low"),
}

_ROWS = (
    # ── Engines that users run themselves ────────────────────────────────────────────────────────
    Server(
        name="vllm",
        title="vLLM",
        source="docs.vllm.ai, serving/openai_compatible_server",
        port=8000,
        queue_paths=("/metrics",),  # docs.vllm.ai, usage/metrics
        continuation="flags",  # seen, 0.32.0; without the flags it starts a new reply
        extra_body=_NO_THINKING,  # docs.vllm.ai, features/reasoning_outputs
    ),
    Server(
        name="sglang",
        title="SGLang",
        source="docs.sglang.ai, backend/openai_api_completions",
        port=30000,  # docs.sglang.ai, server_arguments
        queue_paths=("/metrics",),  # docs.sglang.ai, references/production_metrics
        continuation="flags",  # sglang, entrypoints/openai/protocol.py: continue_final_message
        extra_body=_NO_THINKING,  # docs.sglang.ai, separate_reasoning
    ),
    Server(
        name="llama_cpp",
        title="llama.cpp",
        source="llama.cpp, tools/server/README.md",
        port=8080,
        queue_paths=("/metrics", "/slots"),  # the first only with --metrics
        keep_alive=False,  # seen, build 11549: says keep-alive, and closes after each stream
        continuation="flags",  # seen, llama-server; without the flags it repeats the prefix
        extra_body=_NO_THINKING,
    ),
    Server(
        name="llama_cpp_python",
        title="llama-cpp-python",
        source="llama-cpp-python.readthedocs.io, server",
        port=8000,
        empty_content="",  # seen, 0.3.36: answers 500 to null
    ),
    Server(
        name="ollama",
        title="Ollama",
        source="docs.ollama.com, api/openai-compatibility",
        provider="ollama",  # its own API controls memory, context length and reasoning
        port=11434,
        native_path="/api",
        continuation="trailing",  # seen, 0.9.6
        empty_content=None,  # seen, 0.9.6: an empty text loses the tool calls beside it
        extra_body=body(reasoning_effort="none"),
    ),
    Server(
        name="litellm",  # the server behind it is unknown, so no special feature is used
        title="LiteLLM",
        source="docs.litellm.ai, proxy/user_keys",
        port=4000,
    ),
    Server(
        name="tgi",
        title="TGI",
        source="huggingface.co/docs/text-generation-inference, messages_api",
        port=8080,
        continuation="trailing",  # text-generation-inference 3: continues a last assistant message
        max_tokens=1024,  # the same docs, launcher: 100 is the default in 2.x
    ),
    Server(
        name="localai",
        title="LocalAI",
        source="localai.io, features/text-generation",
        port=8080,
    ),
    Server(
        name="instructlab",  # serves with vLLM or llama-cpp-python: only features of both
        title="InstructLab",
        source="instructlab/dev-docs, docs/cli/ilab-model-serve-backend.md",
        port=8000,
        empty_content="",
    ),
    Server(
        name="text_generation_webui",
        title="text-generation-webui",
        source="oobabooga/text-generation-webui, docs/12 - OpenAI API.md",
        port=5000,
        continuation="flags",
        continue_body=body(continue_=True),  # its typing.py: "last bot message ... be continued"
        max_tokens=1024,  # its typing.py: 512 unless asked
    ),
    Server(name="lm_studio", title="LM Studio", source="lmstudio.ai/docs, api/openai", port=1234),
    # ── Services ─────────────────────────────────────────────────────────────────────────────────
    Server(
        name="groq",
        title="Groq",
        source="console.groq.com/docs/openai",
        hosts=("api.groq.com",),
        path="/openai/v1",
        accepts_names=False,  # "will result in a 400 error (yikes)"
        max_tokens_field="max_completion_tokens",  # console.groq.com/docs/api-reference
        continuation="trailing",  # console.groq.com/docs/prefilling
        by_model={  # console.groq.com/docs/reasoning; other models refuse the field
            "gpt-oss": body(reasoning_effort="low"),
            "qwen3": body(reasoning_effort="none"),
        },
    ),
    Server(
        name="together",
        title="Together",
        source="docs.together.ai, docs/openai-api-compatibility",
        hosts=("api.together.xyz", "api.together.ai"),
    ),
    Server(
        name="openrouter",
        title="OpenRouter",
        source="openrouter.ai/docs, api-reference/overview",
        hosts=("openrouter.ai",),
        path="/api/v1",
        by_model={  # openrouter.ai/docs, use-cases/reasoning-tokens; some models always reason
            "qwen3|glm|deepseek-(chat|v3)": body(reasoning={"enabled": False}),
            "gpt-oss|gpt-5": body(reasoning={"effort": "low", "exclude": True}),
        },
    ),
    Server(
        name="mistral",
        title="Mistral",
        source="docs.mistral.ai/api",
        hosts=("api.mistral.ai",),
        rejects=frozenset({"stream_options"}),  # refused as an extra input; usage always comes
        strict_order=True,  # avante.nvim #2695, SurfSense #287: code 3230 or a 500
        seed_field="random_seed",
        short_call_ids=True,  # "must be a-z, A-Z, 0-9, with a length of 9"
        continuation="prefix",  # docs.mistral.ai, capabilities/completion: prefix
    ),
    Server(
        name="deepseek_beta",
        title="DeepSeek (beta)",
        source="api-docs.deepseek.com, guides/chat_prefix_completion",
        hosts=("api.deepseek.com/beta",),
        path="/beta",
        rejects=frozenset({"seed"}),
        continuation="prefix",
        extra_body=body(thinking={"type": "disabled"}),
    ),
    Server(
        name="deepseek",
        title="DeepSeek",
        source="api-docs.deepseek.com, api/create-chat-completion",
        hosts=("api.deepseek.com",),
        rejects=frozenset({"seed"}),  # not among its fields
        # guides/thinking_mode: on unless switched off
        extra_body=body(thinking={"type": "disabled"}),
    ),
    Server(
        name="moonshot",
        title="Moonshot",
        source="platform.moonshot.ai/docs, api/chat and api/partial",
        hosts=("api.moonshot.ai", "api.moonshot.cn"),
        max_tokens=1024,  # api/chat: the default; sent, so that it is explicit
        continuation="partial",
        by_model={  # guide/kimi-k2-6: the models whose reasoning can be switched off
            r"kimi-k2\.[56]": body(thinking={"type": "disabled"}),
        },
    ),
    Server(
        name="dashscope",
        title="DashScope",
        source="alibabacloud.com/help, model-studio: OpenAI compatible, partial mode",
        hosts=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"),
        path="/compatible-mode/v1",
        continuation="partial",
        # The same pages, deep thinking: on unless switched off since Qwen 3.5.
        extra_body=body(enable_thinking=False),
    ),
    Server(
        name="xai",
        title="xAI",
        source="docs.x.ai, developers/rest-api-reference",
        hosts=("api.x.ai",),  # livekit/agents #2253: refuses strict tools
        by_model={  # vercel/ai, @ai-sdk/xai: 4.3 accepts none; the 4.20 models refuse the field
            r"grok-4\.3": body(reasoning_effort="none"),
            "grok-3-mini": body(reasoning_effort="low"),
        },
    ),
    Server(
        name="fireworks",
        title="Fireworks",
        source="docs.fireworks.ai, tools-sdks/openai-compatibility",
        hosts=("api.fireworks.ai",),
        path="/inference/v1",
        by_model={  # docs.fireworks.ai, guides/reasoning
            "gpt-oss": body(reasoning_effort="low"),
            "glm-|qwen3-|deepseek-v3": body(reasoning_effort="none"),
        },
    ),
    Server(
        name="cerebras",
        title="Cerebras",
        source="inference-docs.cerebras.ai, resources/openai",
        hosts=("api.cerebras.ai",),  # livekit/agents #3134: refuses strict tools
        max_tokens_field="max_completion_tokens",
        by_model={  # inference-docs.cerebras.ai, capabilities/reasoning
            "gpt-oss": body(reasoning_effort="low"),
            "zai-glm": body(reasoning_effort="none"),
        },
    ),
    Server(
        name="openai",
        title="OpenAI",
        source="platform.openai.com/docs, api-reference/chat",
        hosts=("api.openai.com",),
        organization_header="OpenAI-Organization",
        accepts_strict_tools=True,
        max_tokens_field="max_completion_tokens",  # max_tokens is deprecated, and refused by o1 on
        by_model=_OPENAI_MODELS,
    ),
    Server(
        name="azure",
        title="Azure OpenAI",
        source="learn.microsoft.com/azure, openai/api-version-lifecycle",
        hosts=(".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com"),
        path="/openai/v1",
        deployment_path="/openai/deployments/{deployment}",
        key_header="api-key",
        key_prefix="",
        accepts_strict_tools=True,
        max_tokens_field="max_completion_tokens",
        by_model=_OPENAI_MODELS,  # where the deployment is named after its model
    ),
    Server(
        name="gemini",
        title="Gemini",
        source="ai.google.dev/gemini-api/docs/openai",
        hosts=("generativelanguage.googleapis.com",),
        path="/v1beta/openai",
        rejects=frozenset({"seed"}),  # an unknown name, answered with 400
        by_model={  # "Reasoning cannot be turned off for Gemini 2.5 Pro or 3 models"
            r"gemini-2\.5-flash": body(reasoning_effort="none"),
            r"gemini-(2\.5-pro|[3-9])": body(reasoning_effort="low"),
        },
    ),
    Server(
        name="anthropic",  # strict is ignored, a temperature above 1 is lowered to 1; no reasoning
        title="Anthropic",
        source="platform.claude.com/docs, api/openai-sdk",
        hosts=("api.anthropic.com",),
        # docs, api/models-list: the list belongs to the native API
        list_headers=body(**{"x-api-key": "{key}", "anthropic-version": "2023-06-01"}),
    ),
    Server(name="unknown", title="an OpenAI-compatible server", source="none: all is assumed"),
)

PROVIDER = "openai_compatible"
"""The provider of a server whose row names no other."""
SERVERS: Mapping[str, Server] = MappingProxyType({row.name: row for row in _ROWS})

# A version, or `deployments`, which replaces it in Azure's older addresses.
_ROUTE = re.compile(
    r"/((chat/)?completions|responses|models|embeddings|messages|audio/speech|chat|generate|tags|"
    r"text/chatcompletion_v2|completion|props|health|metrics|docs)$"
)
"""Routes whose whole address people give for the API's: of OpenAI's, Anthropic's, Ollama's,
MiniMax's and llama.cpp's."""
_VERSIONED = re.compile(r"/(v\d[a-z0-9]*|deployments)(/|$)")


def find_server(connection: Connection) -> Server:
    """Returns the row that the connection names, else the one of its address, else `unknown`.

    A port identifies a server only if no other row has it: a wrong row would send requests that
    the server cannot serve. Raises UnknownPluginError, which lists the known names.
    """
    if connection.server:
        if connection.server not in SERVERS:
            raise UnknownPluginError("server", connection.server, sorted(SERVERS))
        return SERVERS[connection.server]
    return _at(connection.base_url)


def default_provider(connection: Connection) -> str:
    """Returns the provider for a connection that names none.

    What is not chat goes over OpenAI's API, which servers with one of their own have as well.
    """
    if connection.serves != "chat":
        return PROVIDER
    if connection.server:
        return SERVERS.get(connection.server, SERVERS["unknown"]).provider
    return _at(connection.base_url).provider


@functools.lru_cache(maxsize=1024)  # called for the price of every attempt
def _at(base_url: str) -> Server:
    address = urlsplit(base_url)
    for row in _ROWS:
        if any(_is_at(address, host) for host in row.hosts):
            return row
    port = _port(address)
    same_port = [row for row in _ROWS if row.port and row.port == port]
    return same_port[0] if len(same_port) == 1 else SERVERS["unknown"]


def _port(address: SplitResult) -> int | None:
    try:
        return address.port
    except ValueError:  # not a number, or too high; reported where the address is used
        return None


def _is_at(address: SplitResult, host: str) -> bool:
    name, slash, path = host.partition("/")
    here = address.hostname or ""
    return (here.endswith(name) if name.startswith(".") else here == name) and (
        f"{address.path}/".startswith(f"/{path}/") if slash else True
    )


def adapt(connection: Connection, server: Server) -> Connection:
    """Returns the connection with its server's organization header and deployment address.

    Azure's older addresses hold the deployment and a dated version of the API; a complete one is
    left unchanged.
    """
    headers = dict(connection.headers)
    if server.organization_header and connection.organization_id:
        headers = {server.organization_header: connection.organization_id, **headers}
    model = connection.deployment or connection.model_name
    base_url, parts = connection.base_url, urlsplit(connection.base_url)
    dated = server.deployment_path and connection.api_version[:1].isdigit()
    if dated and model and not _VERSIONED.search(parts.path):
        path = server.deployment_path.format(deployment=quote(model, safe=""))
        query = urlencode({"api-version": connection.api_version})
        base_url = f"{parts.scheme}://{parts.netloc}{path}?{query}"
    if (headers, model, base_url) == (
        connection.headers,
        connection.model_name,
        connection.base_url,
    ):
        return connection  # a changed record would be checked anew
    return replace(connection, headers=headers, model_name=model, base_url=base_url)


def api_root(base_url: str, server: Server) -> tuple[str, str]:
    """Returns the address of the API's root, without a trailing slash, and its query.

    A version in the address is preserved; without one the server's own path is added. The address
    of a route itself is accepted and leaves nothing to add.
    """
    parts = urlsplit(base_url)
    given = re.sub(r"//+", "/", parts.path).rstrip("/")
    path = api = _ROUTE.sub("", given)
    if server.native_path:
        path = path.removesuffix(server.native_path)
    is_within = server.path.startswith(f"{path}/")
    is_theirs = any(_is_at(parts, host) for host in server.hosts)  # and no proxy before it
    if is_theirs and path == "/v1":  # a mistake at api.groq.com and others
        path = server.path
    elif api != given and path == api and not (is_theirs and is_within):
        pass
    elif is_within:
        path = server.path
    elif not _VERSIONED.search(path) and server.path != path:
        path += "/v1"
    return f"{parts.scheme}://{parts.netloc}{path}", parts.query
