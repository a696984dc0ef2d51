"""Reads connections from environment variables: addresses of servers, and keys of clouds."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from llm_router.catalog.presets import CLOUDS, cloud_connection
from llm_router.catalog.servers import default_provider
from llm_router.connections.record import Connection, bare_key, unquoted
from llm_router.discovery.files import parse_compatible_data
from llm_router.errors import ConfigurationError

_SERVERS = {
    "vllm": ("VLLM_BASE_URL", "http://127.0.0.1:8000/v1"),
    "ollama": ("OLLAMA_BASE_URL", "http://127.0.0.1:11434"),
    "instructlab": ("INSTRUCTLAB_BASE_URL", "http://127.0.0.1:8000/v1"),
}
"""Variable of each server's address, and the address it listens on by default."""
_KEY = re.compile(r"_(API_KEY|BEDROCK)$")
_BACKENDS = ("local", "openai", *_SERVERS)
_OTHER_ADDRESSES = {
    "OLLAMA_BASE_URL": ("OLLAMA_API_BASE", "OLLAMA_API_BASE_URL", "OLLAMA_URL", "OLLAMA_HOST"),
    "VLLM_BASE_URL": ("VLLM_API_BASE", "VLLM_URL"),
    "OPENAI_BASE_URL": (
        "OPENAI_API_BASE", "OPENAI_API_BASE_URL", "OPENAI_API_HOST", "OPENAI_ENDPOINT",
        "OPENAI_API_ENDPOINT", "OPENAI_URL", "OPENAI_HOST",
    ),
}  # fmt: skip
"""Other common variables for an address, in order of precedence after the usual one.

A key goes to the address that its owner named beside it, under whichever of these names.
"""
_OLLAMA_PORT = 11434
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

    A key whose owner named an address beside it goes to that address alone. Raises
    ConfigurationError, which names the variable, for an invalid address.
    """
    given = _given(environ)
    found: list[DiscoveredConnection] = []
    for name, cloud in CLOUDS.items():
        for variable in filter(None, (cloud.key, _OTHER_KEYS.get(name))):
            if variable in given and not any(n.connection.name == name for n in found):
                found.append(_cloud(name, variable, given))
    if "AZURE_OPENAI_API_KEY" in given and "AZURE_OPENAI_ENDPOINT" in given:
        found.append(_azure(given))
    return found


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that are set, without the quotes that `docker --env-file` keeps."""
    values = ((n, bare_key(v) if _KEY.search(n) else unquoted(v)) for n, v in environ.items())
    return {name: value for name, value in values if value}


def _address_variable(usual: str, given: Mapping[str, str]) -> str | None:
    """Returns the variable that names the address: the usual one, or another common one."""
    names = (usual, *_OTHER_ADDRESSES.get(usual, ()))
    return next((name for name in names if name in given), None)


def _all_backends(given: Mapping[str, str]) -> Iterator[DiscoveredConnection]:
    for name, (variable, _) in _SERVERS.items():
        if _address_variable(variable, given):
            yield from _backend(name, given)
    if _address_variable("OPENAI_BASE_URL", given) or "OPENAI_API_KEY" in given:
        yield from _backend("openai", given)


def _backend(name: str, given: Mapping[str, str]) -> Iterator[DiscoveredConnection]:
    model = (given["DEFAULT_MODEL"],) if "DEFAULT_MODEL" in given else ()
    if name == "openai":
        yield _openai(given, model)
    elif name != "local":
        usual_variable, usual = _SERVERS[name]
        variable = _address_variable(usual_variable, given)
        address = given[variable] if variable else usual
        server = _server(address, variable or usual_variable, name, server=name)
        yield DiscoveredConnection(server, variable or "LLM_BACKEND_TYPE", model)


def _openai(given: Mapping[str, str], model: tuple[str, ...]) -> DiscoveredConnection:
    key = given.get("OPENAI_API_KEY")
    if variable := _address_variable("OPENAI_BASE_URL", given):
        server = _server(given[variable], variable, "openai", api_key=key)
        return DiscoveredConnection(server, variable, model)
    if not key:
        raise ConfigurationError("LLM_BACKEND_TYPE=openai needs OPENAI_API_KEY or OPENAI_BASE_URL")
    openai = cloud_connection("openai", key, given)
    # Preferred only, since DEFAULT_MODEL takes precedence.
    return DiscoveredConnection(
        replace(openai, model_name=""), "OPENAI_API_KEY", (*model, openai.model_name)
    )


def _cloud(name: str, variable: str, given: Mapping[str, str]) -> DiscoveredConnection:
    """Makes a connection for a cloud's key, at the address that is named beside it, if any."""
    connection = cloud_connection(name, given[variable], given)
    prefix = variable.removesuffix("_API_KEY")
    named = (f"{prefix}_BASE_URL", f"{prefix}_API_BASE")
    at = next(filter(None, (_address_variable(usual, given) for usual in named)), None)
    if at is None:
        return DiscoveredConnection(connection, variable)
    model = connection.model_name
    own = _server(given[at], at, name, api_key=connection.api_key)
    if urlsplit(own.base_url).hostname != urlsplit(connection.base_url).hostname:
        model = given.get("DEFAULT_MODEL", "")
    return DiscoveredConnection(replace(own, model_name=model), at)


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
    address = _with_scheme(address, _OLLAMA_PORT if server == "ollama" else None)
    try:
        made = Connection(name=name, base_url=address, server=server, api_key=api_key)
        return replace(made, provider=default_provider(made))
    except ConfigurationError:
        raise ConfigurationError(f"{variable}: must look like http://host:port/v1") from None


def _with_scheme(address: str, port: int | None) -> str:
    """Adds http:// to an address on a private network, and turns `any address` into this machine.

    OLLAMA_HOST is where Ollama listens: 0.0.0.0, and its usual `port` if it names none. A public
    name stays as it is, to be refused: a guessed scheme could send its key in the clear.
    """
    try:
        parts = urlsplit(address if "://" in address else f"//{address.lstrip('/')}")
        host, named_port = parts.hostname or "", parts.port
    except ValueError:
        return address
    if "@" in parts.netloc:
        return address
    if host in {"0.0.0.0", "::"}:
        host = "127.0.0.1"
        named_port = named_port or port
    elif parts.scheme or not _is_private(host, named_port):
        return address
    else:
        named_port = named_port or port
    shown = f"[{host}]" if ":" in host else host
    at = f"{shown}:{named_port}" if named_port else shown
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme or 'http'}://{at}{parts.path}{query}"


def _is_private(host: str, port: int | None) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or bool(host and port and "." not in host)
