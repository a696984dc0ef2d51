"""Defines Connection, the record a user manages, and checks that its fields are valid."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from llm_router.connections.access import Visibility
from llm_router.connections.json_shape import is_within, members
from llm_router.errors import ConfigurationError
from llm_router.types import Capabilities

Continuation = Literal["flags", "trailing", "prefix", "partial", "words"]
"""The way a server continues a reply that another server began.

`flags`: by vLLM's `continue_final_message`; `trailing`: it continues a last assistant message;
`prefix`, `partial`: the same, with that mark on the message; `words`: by an instruction in words.
"""
ConnectionType = Literal[
    "local", "remote", "aws_spot", "openai", "anthropic", "google", "groq", "together", "azure",
    "bedrock",
]  # fmt: skip
OWN_TYPES = frozenset({"local", "remote", "aws_spot"})
"""Connection types of servers that are not shared with other customers of a vendor."""
Serves = Literal["chat", "embeddings", "speech", "transcriptions"]
Status = Literal["untested", "testing", "active", "error", "resting", "deactivated"]

_SHORT_KEY = 8  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One server and model. Immutable; a change is a new record.

    A pasted address, model name or key loses its blanks and quotes, and a key its `Bearer`.
    Raises ConfigurationError for a record that cannot work, naming the connection and the field.
    """

    # Identity. A store makes an id where none is given.
    id: str = ""
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()

    # Server and wire.
    connection_type: ConnectionType = "remote"
    """The vendor, or the kind of host. Decides whose price list counts, and which LiveKit plugin is
    used where `server` names none; `provider` and `server` decide how requests are made.
    """
    provider: str = "openai_compatible"
    """The module in `llm_router/providers` that speaks the wire."""
    server: str = ""
    """The row of `catalog/servers.py`; empty: derived from the address."""
    base_url: str = ""
    model_name: str = ""
    aliases: tuple[str, ...] = ()
    """Further names of the model, by which programs may ask for it below /v1."""
    serves: Serves = "chat"
    """The requests that its model answers. Only a connection for chat answers callers; the others
    serve programs, below /v1."""
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May carry secrets, so a store encrypts them as it does the key."""
    organization_id: str = ""
    """For OpenAI's own API."""
    api_version: str = ""
    """For Azure."""
    deployment: str = ""
    """For Azure."""
    region: str = ""
    """For Bedrock."""
    timeout: float = 60.0
    """Time limit (s) of one request, from its start to the end of its reply."""
    max_retries: int | None = None
    """How many more times it may be asked for one reply. 0: never twice. None: no limit of its own;
    the router limits the requests for a reply."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    # Defaults of a request.
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None

    # Capabilities.
    context_length: int | None = None
    supports_tools: bool = True
    supports_images: bool = False
    supports_json: bool = True
    continuation: Continuation | None = None
    """None: the catalog's value for the server."""

    # Routing.
    is_active: bool = True
    use_in_livekit: bool = True
    use_in_mcp: bool = True
    use_in_automation: bool = True
    pool: str = "default"
    priority: int = 0
    """Lower values are tried first."""
    weight: float = 1.0
    hedge: Literal["allowed", "never"] = "allowed"
    """`never`: only tried after the connections before it have failed."""

    # Prices and limits. A limit of None means unlimited.
    price_in: float | None = None
    """Price per million prompt tokens. None: from the price list; 0: free."""
    price_out: float | None = None
    """Price per million completion tokens, in the same way."""
    rate_limit_rpm: int | None = None
    """Requests per minute."""
    rate_limit_tpm: int | None = None
    """Tokens per minute."""
    monthly_budget: float | None = None
    """In the currency of the prices."""

    # Ownership.
    owner: str = ""
    team: str = ""
    visibility: Visibility = "private"

    # Set by the store.
    is_guarded: bool = False
    """True if someone other than an admin chose the address: then only the public internet and
    the addresses that the operator allowed are dialled."""
    is_approved_for_calls: bool = False
    """True once an admin, or a key that may serve calls, has set `use_in_livekit`; only then does
    the connection answer live callers. An edit of its server or model by anyone else takes it
    back."""
    status: Status = "untested"
    status_reason: str = ""
    api_key_last4: str | None = None
    """Last characters of the key, for display. None: there is no key; empty: it is too short."""
    header_names: tuple[str, ...] = ()
    """Names of the headers, for display without their values."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_used_at: datetime | None = None
    version: int = 0
    """Increases with every edit; 0: not stored."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Its key and the values of its headers, which a server may repeat in an error.

        Short ones ("ollama", "none") are placeholders, not secrets.
        """
        given = (self.api_key or "", *self.headers.values())
        words = {word for value in given for word in (value, *value.split())}
        return tuple(sorted((w for w in words if len(w) > _SHORT_KEY), key=len, reverse=True))

    def __post_init__(self) -> None:
        for name, clean in _CLEANED.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, clean(value))  # the record is frozen
        if not self.name.strip():
            raise ConfigurationError("a connection needs a name")
        if flaw := next(_flaws(self), None):
            raise ConfigurationError(f"connection {self.name[:100]!r}: {flaw}")

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            tools=self.supports_tools,
            images=self.supports_images,
            json=self.supports_json,
            context_length=self.context_length,
        )

    def without_secrets(self) -> "Connection":
        """Returns a copy with `api_key_last4` and `header_names` in place of key and headers."""
        key = self.api_key
        last4 = self.api_key_last4 if key is None else key[-4:] if len(key) >= _SHOWABLE else ""
        names = tuple(sorted(self.headers)) or self.header_names
        return replace(self, api_key=None, headers={}, api_key_last4=last4, header_names=names)


def unquoted(text: str) -> str:
    """Returns a pasted value without the blanks and the pairs of quotes around it."""
    text = _BLANKS.sub("", text)
    while len(text) > 1 and _QUOTES.get(text[0]) == text[-1]:
        text = _BLANKS.sub("", text[1:-1])
    return text


def bare_address(address: str) -> str:
    """Returns the address itself of a pasted one, without what may follow it in its line."""
    address, _, _ = unquoted(address).partition(" #")
    return unquoted(address.removesuffix("\\n").removesuffix("\\r").rstrip(" ;,"))


def bare_key(key: str) -> str:
    """Returns the key itself of a pasted one: without quotes, the name before it, a comment."""
    key = bare_address(key)
    while found := _BEFORE_KEY.match(key):
        key = unquoted(key[found.end() :])
    return key.strip("\"'`")


SECRET_FIELDS = ("api_key", "headers")
"""Fields that a store encrypts; only callers of the server may read them."""
STORE_MANAGED_FIELDS = (
    "owner", "is_guarded", "is_approved_for_calls", "status", "status_reason", "api_key_last4",
    "header_names", "created_at", "updated_at", "last_used_at", "version",
)  # fmt: skip
"""Fields that only a store sets: no file and no edit may. (An admin may change the owner.)"""

_BEFORE_KEY = re.compile(
    r"(export\s+|set\s+)?[A-Z][A-Z\d_]*_KEYS?\s*=|"
    r"(?i:authorization|x-api-key|api-key|x-goog-api-key)\s*:|(?i:bearer)(\s*:\s*|\s+)"
)
"""Text that people paste along with a key: the variable, the header, or its scheme."""
_BLANKS = re.compile(r"\A[\s\ufeff\u200b-\u200f\u2060]+|[\s\ufeff\u200b-\u200f\u2060]+\Z")
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»", "<": ">"}
_CLEANED = {"base_url": bare_address, "model_name": unquoted, "api_key": bare_key}
_SHOWABLE = 12
"""Length of a key (characters) from which its last four may be shown."""


# ── Validation ───────────────────────────────────────────────────────────────────────────────────

MAX_LENGTHS = {
    "id": 100, "name": 200, "description": 2_000, "provider": 50, "server": 50, "base_url": 2_000,
    "model_name": 300, "organization_id": 200, "api_version": 50, "deployment": 200, "region": 50,
    "pool": 100, "owner": 200, "team": 200, "status_reason": 500,
}  # fmt: skip
"""Maximum length of each text (characters), so that pages and logs stay readable.

The tables themselves have no limit.
"""
NUMBER_RANGES = {
    "max_retries": (0, 10), "temperature": (0, 2), "top_p": (0, 1), "max_tokens": (1, 10**9),
    "context_length": (1, 10**9), "priority": (-(10**9), 10**9), "weight": (0, 10**6),
    "price_in": (0, 10**6), "price_out": (0, 10**6), "rate_limit_rpm": (1, 10**9),
    "rate_limit_tpm": (1, 10**9), "monthly_budget": (0, 10**9), "version": (0, 10**9),
}  # fmt: skip
"""Smallest and largest value of each number."""
MAX_TIMEOUT = 3_600.0  # s
_FORWARDS = "openai_compatible"
"""The provider that passes other requests on than those for chat."""
_MAX_TAGS = 50
_MAX_TAG_LENGTH = 100
_MAX_SECRET_LENGTH = 20_000
_MAX_HEADERS = 50
_MAX_BODY_SIZE = 100_000  # bytes
_MAX_BODY_DEPTH = 20
"""Levels: what writes JSON stops at some hundred, and a list must show every record."""
_MAX_BODY_VALUES = 2_000
"""Objects, arrays and plain values together."""
ID_PATTERN = re.compile(r"[\w.:@+-]+", re.ASCII)
_INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff"
    r"\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff"
)
"""Characters that show nothing or turn the text around: one name would resemble another."""
_CONTROL = re.compile(rf"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff{_INVISIBLE}]")
"""Characters that would break a line of a log, cannot be written as UTF-8, or deceive."""
_USER = re.compile(r"[^/?#]*//[^/?#]*@")
_QUERY = re.compile(r"[?#;]")
_KEY_IN_QUERY = re.compile(
    r"\b(((api|access|auth|subscription|client)[_-]?)?(key|token|secret)|"
    r"password|authorization|credential|sig|signature|code)=",
    re.IGNORECASE,
)
_KEY_IN_BODY = re.compile(
    r"([a-z]+[_-])*(api|access|auth|subscription|client|secret)[_-]?(key|token|secret)|"
    r"token|secret|password|authorization|credentials?",
    re.IGNORECASE,
)
_HEADER_NAME = re.compile(r"[A-Za-z\d!#$%&'*+.^_`|~-]+")
_FRAMING = frozenset({"connection", "content-length", "transfer-encoding"})
"""Headers that a request sets by itself; set from outside they make it unreadable."""
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _flaws(c: Connection) -> Iterator[str]:
    """Yields a message for each invalid field; never with a value that may be secret."""
    yield from _text_flaws(c)
    if c.base_url:
        yield from _address_flaws(c.base_url)
    yield from _number_flaws(c)
    yield from _header_flaws(c.headers)
    secrets = (c.api_key or "", *c.headers, *c.headers.values())
    if any(_CONTROL.search(text.strip()) for text in secrets):
        yield "api_key and headers must not contain control characters, or invisible ones"
    if (
        len(c.api_key or "") + sum(len(n) + len(v) for n, v in c.headers.items())
        > _MAX_SECRET_LENGTH
    ):
        yield f"api_key and headers must have at most {_MAX_SECRET_LENGTH:,} characters together"
    if c.extra_body and not _fits(c.extra_body):
        yield (
            f"extra_body must be JSON of at most {_MAX_BODY_SIZE:,} bytes, {_MAX_BODY_VALUES:,}"
            f" values and {_MAX_BODY_DEPTH} levels"
        )
    elif any(_holds_key(name, value) for name, value in members(c.extra_body)):
        yield (
            "extra_body must not contain a key, which would be shown; put it in api_key or headers"
        )
    for name in ("created_at", "updated_at", "last_used_at"):
        if (time := getattr(c, name)) and time.tzinfo is None:
            yield f"{name} needs a time zone"


def _header_flaws(headers: Mapping[str, str]) -> Iterator[str]:
    if len(headers) > _MAX_HEADERS:
        yield f"headers must be at most {_MAX_HEADERS}"
    if not all(_HEADER_NAME.fullmatch(name) for name in headers):
        yield "headers must have names of letters, digits and -; a key is a value, not a name"
    if framing := _FRAMING & {name.lower() for name in headers}:
        yield f"headers must not set {min(framing)}"


def _text_flaws(c: Connection) -> Iterator[str]:
    for name, max_length in MAX_LENGTHS.items():
        text = getattr(c, name)
        if len(text) > max_length:
            yield f"{name} must have at most {max_length:,} characters"
        if (_CONTROL_BUT_LINES if name == "description" else _CONTROL).search(text):
            yield f"{name} must not contain control characters, or invisible ones"
    if c.id and not ID_PATTERN.fullmatch(c.id):
        yield "id must be of letters, digits and . : @ + _ -"
    for name in ("tags", "aliases"):
        words = getattr(c, name)
        if len(words) > _MAX_TAGS or len(set(words)) < len(words):
            yield f"{name} must differ, and be at most {_MAX_TAGS}"
        if not all(
            0 < len(word) <= _MAX_TAG_LENGTH and not _CONTROL.search(word) for word in words
        ):
            yield f"{name} must have 1 to {_MAX_TAG_LENGTH} characters each, no control characters"
    if c.serves != "chat" and c.provider != _FORWARDS:
        yield f"serves {c.serves} only with the provider {_FORWARDS}"


def _number_flaws(c: Connection) -> Iterator[str]:
    if not 0 < c.timeout <= MAX_TIMEOUT:
        yield f"timeout must be above 0 s and at most {MAX_TIMEOUT:,.0f} s"
    for name, (low, high) in NUMBER_RANGES.items():
        value = getattr(c, name)
        if value is not None and not low <= value <= high:
            yield f"{name} must be from {low:,} to {high:,}"


def _address_flaws(address: str) -> Iterator[str]:
    # Checked before parsing, since `urlsplit` caches its argument.
    if _USER.match(address):
        yield (
            "base_url must not contain a user name or password, which would be shown; put them "
            'in headers, as "Authorization": "Basic ..."'
        )
        return
    if any(map(_KEY_IN_QUERY.search, _QUERY.split(address, maxsplit=1)[1:])):
        yield "base_url must not contain a key, which would be shown; put it in api_key or headers"
        return
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and parts.hostname
        _ = parts.port
    except ValueError:
        usable = None
    if not usable:
        yield "base_url must look like http://host:port/v1"


def _fits(body: Mapping[str, Any]) -> bool:
    if not is_within(body, values=_MAX_BODY_VALUES, levels=_MAX_BODY_DEPTH):
        return False
    try:
        text = json.dumps(body, allow_nan=False, ensure_ascii=False)
        return len(text.encode()) <= _MAX_BODY_SIZE  # fails for a lone surrogate
    except (TypeError, ValueError, RecursionError):
        return False


def _holds_key(name: str, value: Any) -> bool:
    is_long = isinstance(value, str) and len(value) > _SHORT_KEY
    return is_long and bool(_KEY_IN_BODY.fullmatch(name))
