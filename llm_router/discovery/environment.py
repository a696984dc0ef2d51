"""Reads connections from environment variables: addresses of servers, and keys of clouds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from llm_router.catalog.presets import CLOUDS, cloud_connection
from llm_router.catalog.servers import default_provider
from llm_router.connections.record import Connection
from llm_router.discovery.files import parse_compatible_data
from llm_router.errors import ConfigurationError

_SERVERS = {
    "vllm": ("VLLM_BASE_URL", "http://127.0.0.1:8000/v1"),
    "ollama": ("OLLAMA_BASE_URL", "http://127.0.0.1:11434"),
    "instructlab": ("INSTRUCTLAB_BASE_URL", "http://127.0.0.1:8000/v1"),
}
"""Variable of each server's address, and the address it listens on by default."""
_BACKENDS = ("local", "openai", *_SERVERS)
_OTHER_KEYS = {"google": "GEMINI_API_KEY"}
"""Another common variable for a cloud's key."""


@dataclass(frozen=True, slots=True)
class DiscoveredConnection:
    """A connection, and the variable, file or address that it was found in.

    `preferred_models`: models to use, best first, if the connection names none.
    """

    connection: Connection
    source: str
    preferred_models: tuple[str, ...] = ()


def read_environment(environ: Mapping[str, str]) -> list[DiscoveredConnection]:
    """Reads the connections that variables name, in order of priority.

    LLM_BACKEND_TYPE selects one server and ignores the addresses and keys of the others; `local`
    selects none, so that this machine is searched. Without it every address counts, and so does
    OPENAI_API_KEY. OPENAI_COMPATIBLE_DATA is added in either case. Raises ConfigurationError, which
    names the variable, for an invalid value.
    """
    given = _given(environ)
    chosen = given.get("LLM_BACKEND_TYPE", "").lower()
    if chosen and chosen not in _BACKENDS:
        raise ConfigurationError(f"LLM_BACKEND_TYPE: must be one of {', '.join(_BACKENDS)}")
    named = [*(_backend(chosen, given) if chosen else _all_backends(given))]
    if data := given.get("OPENAI_COMPATIBLE_DATA"):
        rows = parse_compatible_data(data, "OPENAI_COMPATIBLE_DATA", given)
        named += [DiscoveredConnection(row, "OPENAI_COMPATIBLE_DATA") for row in rows]
    return [
        replace(n, connection=replace(n.connection, priority=10 * place))
        for place, n in enumerate(named)
    ]


def suggest_from_keys(environ: Mapping[str, str]) -> list[DiscoveredConnection]:
    """Suggests a connection for each cloud whose key is set; a person chooses which to add.

    Raises ConfigurationError if Azure's endpoint is not a valid address.
    """
    given = _given(environ)
    found: list[DiscoveredConnection] = []
    for name, cloud in CLOUDS.items():
        for variable in filter(None, (cloud.key, _OTHER_KEYS.get(name))):
            if variable in given and not any(n.connection.name == name for n in found):
                found.append(
                    DiscoveredConnection(cloud_connection(name, given[variable], given), variable)
                )
    if "AZURE_OPENAI_API_KEY" in given and "AZURE_OPENAI_ENDPOINT" in given:
        found.append(_azure(given))
    return found


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in environ.items() if value.strip()}


def _all_backends(given: Mapping[str, str]) -> Iterator[DiscoveredConnection]:
    for name, (variable, _) in _SERVERS.items():
        if variable in given:
            yield from _backend(name, given)
    if "OPENAI_BASE_URL" in given or "OPENAI_API_KEY" in given:
        yield from _backend("openai", given)


def _backend(name: str, given: Mapping[str, str]) -> Iterator[DiscoveredConnection]:
    model = (given["DEFAULT_MODEL"],) if "DEFAULT_MODEL" in given else ()
    if name == "openai":
        yield _openai(given, model)
    elif name != "local":
        variable, usual = _SERVERS[name]
        server = _server(given.get(variable, usual), variable, name, server=name)
        yield DiscoveredConnection(
            server, variable if variable in given else "LLM_BACKEND_TYPE", model
        )


def _openai(given: Mapping[str, str], model: tuple[str, ...]) -> DiscoveredConnection:
    key = given.get("OPENAI_API_KEY")
    if address := given.get("OPENAI_BASE_URL"):
        server = _server(address, "OPENAI_BASE_URL", "openai", api_key=key)
        return DiscoveredConnection(server, "OPENAI_BASE_URL", model)
    if not key:
        raise ConfigurationError("LLM_BACKEND_TYPE=openai needs OPENAI_API_KEY or OPENAI_BASE_URL")
    openai = cloud_connection("openai", key, given)
    # Preferred only, since DEFAULT_MODEL takes precedence.
    return DiscoveredConnection(
        replace(openai, model_name=""), "OPENAI_API_KEY", (*model, openai.model_name)
    )


def _azure(given: Mapping[str, str]) -> DiscoveredConnection:
    """Makes a connection for Azure, where each account names its models as deployments.

    The model is left empty, for the person to fill in, if no deployment is set.
    """
    deployments = (given.get(f"AZURE_OPENAI_{end}") for end in ("DEPLOYMENT", "DEPLOYMENT_NAME"))
    deployment = next(filter(None, deployments), "")
    version = given.get("AZURE_OPENAI_API_VERSION") or given.get("OPENAI_API_VERSION", "")
    connection = _server(
        given["AZURE_OPENAI_ENDPOINT"],
        "AZURE_OPENAI_ENDPOINT",
        "azure",
        server="azure",
        api_key=given["AZURE_OPENAI_API_KEY"],
    )
    return DiscoveredConnection(
        replace(
            connection,
            connection_type="azure",
            model_name=deployment,
            deployment=deployment,
            api_version=version,
        ),
        "AZURE_OPENAI_API_KEY",
    )


def _server(
    address: str, variable: str, name: str, *, server: str = "", api_key: str | None = None
) -> Connection:
    try:
        made = Connection(name=name, base_url=address, server=server, api_key=api_key)
        return replace(made, provider=default_provider(made))
    except ConfigurationError:
        raise ConfigurationError(f"{variable}: must look like http://host:port/v1") from None
