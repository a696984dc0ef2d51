"""Reads connections from environment variables: addresses of servers, and keys of clouds."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from llm_router.catalog.presets import CLOUDS, cloud_connection
from llm_router.catalog.servers import default_provider
from llm_router.connections.record import Connection, bare_key, unquoted
from llm_router.discovery.files import parse_compatible_data, refuse_more_rows
from llm_router.errors import ConfigurationError

_SERVERS = {
    "vllm": ("VLLM_BASE_URL", "http://127.0.0.1:8000/v1"),
    "ollama": ("OLLAMA_BASE_URL", "http://127.0.0.1:11434"),
    "instructlab": ("INSTRUCTLAB_BASE_URL", "http://127.0.0.1:8000/v1"),
}
"""Variable of each server's address, and the address it listens on by default."""
_KEY = re.compile(r"_(KEYS?|BEDROCK)$")
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PLACEHOLDER = re.compile(
    r"user_provided|change[-_ ]?me|(sk-)?your[-_ ].*|\$\{?\w+\}?|"
    r"(sk-)?(proj-)?(x{3,}|\.{3,}|\*{3,})|(todo|replace|insert|enter)[-_ ].*",
    re.IGNORECASE,
)
"""Values that other programs' examples have in place of a key."""
ASK = "ask"
"""Place of a key that no variable holds; the command line asks for it."""
_BACKENDS = ("local", "openai", *_SERVERS)
_ADDRESS = r"(API_)?(BASE(_?(URL|PATH))?|URL|URI|ENDPOINT|REVERSE_PROXY|SERVER|HOST)S?"
"""How the names of variables for an address end, in the files of other programs.

A key goes to the address that its owner named beside it, under whichever of these names.
"""
_OTHER_USES = re.compile(
    r"STT|TTS|EMBED|IMAGE|AUDIO|WHISPER|SPEECH|VOICE|REALTIME|RERANK|MODERATION|TRANSCRI|DALL|"
    r"AUTH|TOKEN|LOGIN|REDIRECT|CALLBACK|WEBHOOK|METRIC|TRACING|DOCS|SERVICE_HOST"
)
"""Addresses of something else; SERVICE_HOST is set by Kubernetes, not by a person."""
_OLLAMA_PORT = 11434
_INNER = (".internal", ".local", ".lan", ".localhost")
"""Ends of names that no public name server knows, such as host.docker.internal."""
_AZURE_KEYS = ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_KEY", "AZURE_API_KEY")
_OTHER_KEYS = {"google": "GEMINI_API_KEY"}
"""Another common variable for a cloud's key."""
_OTHER_PREFIXES = {"google": r"(GOOGLE_)?GEMINI|GOOGLE_GENERATIVE_AI|GOOGLE(?=_(API_)?BASE)"}
"""Beginnings of the variables for a cloud's address, where its key's name says too little."""


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
    key = next((name for name in _AZURE_KEYS if name in given), None)
    if key and (address := _address_variable("AZURE(_OPENAI)?", given)):
        found.append(_azure(given, key, address))
    return found


def find_key_sources(
    connections: Iterable[Connection], environ: Mapping[str, str]
) -> dict[str, str]:
    """Maps the name of each connection with a key to the place of its key, as `--key` takes it."""
    held: dict[str, list[str]] = {}
    for variable, value in environ.items():
        if _VARIABLE.fullmatch(variable):
            held.setdefault(bare_key(value), []).append(variable)
    sources = {}
    for c in connections:
        if c.api_key:
            # Of several, the one whose name says that it holds a key.
            variables = sorted(
                held.get(c.api_key, ()), key=lambda n: (not _KEY.search(n.upper()), n)
            )
            sources[c.name] = f"env:{variables[0]}" if variables else ASK
    return sources


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that are set, in capitals, too, without what is pasted around values:
    quotes, which `docker --env-file` keeps, and placeholders for keys.
    """
    given: dict[str, str] = {}
    for name, text in environ.items():
        is_key = _KEY.search(name.upper())
        value = bare_key(text) if is_key else unquoted(text)
        if value and not (is_key and _PLACEHOLDER.fullmatch(value)):
            given[name] = value
    return {**{name.upper(): value for name, value in given.items()}, **given}


def _address_variable(prefix: str, given: Mapping[str, str]) -> str | None:
    """Returns the variable that names the address: the usual one, or another common one.

    One that has a key of its own, such as OPENAI_COMPATIBLE_API_KEY, is not this server's.
    """
    if (usual := f"{prefix}_BASE_URL") in given:
        return usual
    pattern = re.compile(rf"(?P<stem>(CUSTOM_)?({prefix})(_(?P<part>\w+?))??)_{_ADDRESS}")
    matches = (match for name in given if (match := pattern.fullmatch(name)))
    found = [
        match[0]
        for match in matches
        if not _OTHER_USES.search(match[0])
        and not (match["part"] and f"{match['stem']}_API_KEY" in given)
    ]
    return min(found, key=lambda name: (name.endswith("HOST"), len(name), name), default=None)


def _all_backends(given: Mapping[str, str]) -> Iterator[DiscoveredConnection]:
    for name in _SERVERS:
        if _address_variable(name.upper(), given):
            yield from _backend(name, given)
    if _address_variable("OPENAI", given) or {"OPENAI_API_KEY", "OPENAI_API_KEYS"} & given.keys():
        yield from _backend("openai", given)


def _backend(name: str, given: Mapping[str, str]) -> Iterator[DiscoveredConnection]:
    model = (given["DEFAULT_MODEL"],) if "DEFAULT_MODEL" in given else ()
    if name == "openai":
        yield from _openai(given, model)
    elif name != "local":
        usual_variable, usual = _SERVERS[name]
        variable = _address_variable(name.upper(), given)
        addresses = given[variable] if variable else usual
        keys = given.get(f"{name.upper()}_API_KEY", "")
        for server in _servers(addresses, variable or usual_variable, name, server=name, keys=keys):
            yield DiscoveredConnection(server, variable or "LLM_BACKEND_TYPE", model)


def _openai(given: Mapping[str, str], model: tuple[str, ...]) -> Iterator[DiscoveredConnection]:
    keys = given.get("OPENAI_API_KEYS") or given.get("OPENAI_API_KEY", "")
    if variable := _address_variable("OPENAI", given):
        for server in _servers(given[variable], variable, "openai", keys=keys):
            yield DiscoveredConnection(server, variable, model)
        return
    if not keys:
        raise ConfigurationError("LLM_BACKEND_TYPE=openai needs OPENAI_API_KEY or OPENAI_BASE_URL")
    openai = cloud_connection("openai", bare_key(keys.partition(";")[0]), given)
    # Preferred only, since DEFAULT_MODEL takes precedence.
    yield DiscoveredConnection(
        replace(openai, model_name=""), "OPENAI_API_KEY", (*model, openai.model_name)
    )


def _servers(
    addresses: str, variable: str, name: str, *, server: str = "", keys: str = ""
) -> Iterator[Connection]:
    """Makes a connection for each address, with the key in the same place, as Open WebUI does."""
    places = [address.strip() for address in addresses.split(";") if address.strip()]
    refuse_more_rows(len(places), variable)
    given = [bare_key(key) for key in keys.split(";")]
    for place, address in enumerate(places):
        key = given[place] if place < len(given) else ""
        own_name = f"{name} {place + 1}" if place else name
        yield _server(address, variable, own_name, server=server, api_key=key or None)


def _cloud(name: str, variable: str, given: Mapping[str, str]) -> DiscoveredConnection:
    """Makes a connection for a cloud's key, at the address that is named beside it, if any."""
    connection = cloud_connection(name, given[variable], given)
    prefix = _OTHER_PREFIXES.get(name) or variable.removesuffix("_API_KEY")
    at = _address_variable(prefix, given)
    if at is None:
        return DiscoveredConnection(connection, variable)
    model = connection.model_name
    first = given[at].partition(";")[0]
    own = _server(first, at, name, api_key=connection.api_key)
    if urlsplit(own.base_url).hostname != urlsplit(connection.base_url).hostname:
        model = given.get("DEFAULT_MODEL", "")
    return DiscoveredConnection(replace(own, model_name=model), at)


def _azure(given: Mapping[str, str], key: str, address: str) -> DiscoveredConnection:
    """Makes a connection for Azure, where each account names its models as deployments.

    The model is left empty, for the person to fill in, if no deployment is set.
    """
    deployments = (given.get(f"AZURE_OPENAI_{end}") for end in ("DEPLOYMENT", "DEPLOYMENT_NAME"))
    deployment = next(filter(None, deployments), "")
    version = given.get("AZURE_OPENAI_API_VERSION") or given.get("OPENAI_API_VERSION", "")
    connection = _server(given[address], address, "azure", server="azure", api_key=given[key])
    return DiscoveredConnection(
        replace(
            connection,
            connection_type="azure",
            model_name=deployment,
            deployment=deployment,
            api_version=version,
        ),
        key,
    )


def _server(
    address: str, variable: str, name: str, *, server: str = "", api_key: str | None = None
) -> Connection:
    if "${" in address:
        raise ConfigurationError(f"{variable}: holds the name of a variable; put its value there")
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
    if host in {"0.0.0.0", "::"} or (named_port and not host):
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
        is_inner = "." not in host or host.endswith(_INNER)
        return host == "localhost" or bool(host and port and is_inner)
