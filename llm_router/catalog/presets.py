"""Lists ready-made sets of connections, and the cloud vendors that they use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from llm_router.connections.record import Connection, ConnectionType
from llm_router.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Describes a vendor: its address, and the environment variable that usually holds its key.

    The models are fast ones that answer without long reasoning.
    """

    connection_type: ConnectionType
    key: str
    base_url: str
    model: str
    region: str = ""
    """The region's variable and default, as in "AWS_REGION=us-east-1"; part of the address."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)


CLOUDS: Mapping[str, Cloud] = MappingProxyType(
    {
        cloud.connection_type: cloud
        for cloud in (
            Cloud(
                connection_type="openai",
                key="OPENAI_API_KEY",
                base_url="https://api.openai.com/v1",
                model="gpt-4.1-mini",
            ),
            Cloud(
                connection_type="anthropic",
                key="ANTHROPIC_API_KEY",
                # platform.claude.com/docs/en/api/openai-sdk
                base_url="https://api.anthropic.com/v1",
                model="claude-haiku-4-5",
            ),
            Cloud(
                connection_type="groq",
                key="GROQ_API_KEY",
                base_url="https://api.groq.com/openai/v1",
                model="llama-3.3-70b-versatile",
            ),
            Cloud(
                connection_type="google",
                key="GOOGLE_API_KEY",
                base_url="https://generativelanguage.googleapis.com/v1beta/openai",
                model="gemini-2.5-flash-lite",
            ),
            Cloud(
                connection_type="together",
                key="TOGETHER_API_KEY",
                base_url="https://api.together.xyz/v1",
                model="meta-llama/Llama-3.3-70B-Instruct-Turbo",
            ),
            Cloud(
                connection_type="bedrock",
                key="AWS_BEARER_TOKEN_BEDROCK",
                # docs.aws.amazon.com/bedrock, inference-chat-completions
                base_url="https://bedrock-runtime.{region}.amazonaws.com/openai/v1",
                model="openai.gpt-oss-20b-1:0",
                region="AWS_REGION=us-east-1",
                extra_body=MappingProxyType({"reasoning_effort": "low"}),
            ),
        )
    }
)


def cloud_connection(name: str, api_key: str, environ: Mapping[str, str]) -> Connection:
    """Returns a connection to the cloud `name`; the connection has the same name."""
    cloud = CLOUDS[name]
    variable, _, usual = cloud.region.partition("=")
    region = environ.get(variable) or usual
    return Connection(
        name=name,
        connection_type=cloud.connection_type,
        base_url=cloud.base_url.format(region=region),
        model_name=cloud.model,
        api_key=api_key,
        region=region,
        extra_body=dict(cloud.extra_body),
    )


@dataclass(frozen=True, slots=True)
class Preset:
    """A set of connections: `servers` on the user's machine, then `clouds`, in this order."""

    title: str
    description: str
    servers: Sequence[Connection] = ()
    clouds: Sequence[str] = ()

    @property
    def keys(self) -> Mapping[str, str]:
        """Maps each cloud to the environment variable of its key."""
        return {name: CLOUDS[name].key for name in self.clouds}


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "local-dev": Preset(
            "Local Dev",
            "Ollama, then llama.cpp, both on this machine; no key, nothing leaves it",
            servers=(
                Connection(
                    name="ollama",
                    connection_type="local",
                    provider="ollama",
                    server="ollama",
                    base_url="http://127.0.0.1:11434",
                    model_name="llama3.2",
                ),
                Connection(
                    name="llama.cpp",
                    connection_type="local",
                    server="llama_cpp",  # answers with the one model it holds
                    base_url="http://127.0.0.1:8080",
                ),
            ),
        ),
        "production": Preset(
            "Production",
            "Anthropic, then OpenAI, then Groq",
            clouds=("anthropic", "openai", "groq"),
        ),
        "multi-cloud": Preset(
            "Multi-Cloud",
            "OpenAI, Anthropic, Google and Bedrock: no one vendor's bad day is yours",
            clouds=("openai", "anthropic", "google", "bedrock"),
        ),
    }
)


def preset_connections(
    name: str, environ: Mapping[str, str], keys: Mapping[str, str] | None = None
) -> tuple[Connection, ...]:
    """Returns the connections of a preset, in order of priority.

    A cloud's key is taken from `keys`, by the cloud's name, else from `environ`. Raises
    ConfigurationError for an unknown preset, and for missing keys, naming all of them.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    preset, given = PRESETS[name], keys or {}
    found = {c: given.get(c) or environ.get(v, "").strip() for c, v in preset.keys.items()}
    if missing := [preset.keys[cloud] for cloud, key in found.items() if not key]:
        raise ConfigurationError(
            f"the preset {preset.title} needs {', '.join(missing)};"
            " set these variables, or give the keys"
        )
    clouds = [cloud_connection(cloud, key, environ) for cloud, key in found.items()]
    connections = (*preset.servers, *clouds)
    return tuple(replace(c, priority=10 * place) for place, c in enumerate(connections))
