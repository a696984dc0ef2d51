"""Connection, the record a user manages, and what can be wrong with one."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from llm_router.connections.access import Visibility
from llm_router.errors import ConfigurationError
from llm_router.types import Capabilities

Continuation = Literal["flags", "trailing", "prefix", "partial", "words"]
"""How a server goes on with words it did not say itself.

`flags`: vLLM's `continue_final_message`; `trailing`: a last assistant message is continued;
`prefix`, `partial`: the same with that mark on the message; `words`: it is asked to, in words.
"""
ConnectionType = Literal[
    "local", "remote", "aws_spot", "openai", "anthropic", "google", "groq", "together", "azure",
    "bedrock",
]  # fmt: skip
Status = Literal["untested", "testing", "active", "error", "resting", "deactivated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One server and model. Immutable; a change is a new record.

    Raises ConfigurationError for a record that cannot work, naming the connection and the field.
    """

    # Which it is. A store gives the id; one that is given already is kept.
    id: str = ""
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()

    # Where and how it is asked.
    connection_type: ConnectionType = "remote"
    """What the user sees and filters by; `server` decides how it is asked."""
    provider: str = "openai_compatible"
    """The module in `llm_router/providers` that speaks the wire."""
    server: str = ""
    """The row of `providers/catalog.py`; empty: found from the address."""
    base_url: str = ""
    model_name: str = ""
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May carry secrets, so a store treats them as it does the key."""
    organization_id: str = ""
    """OpenAI."""
    api_version: str = ""
    """Azure."""
    deployment: str = ""
    """Azure."""
    region: str = ""
    """Bedrock."""
    timeout: float = 60.0
    """Seconds a whole reply may take."""
    max_retries: int = 0
    """For clients that ask one connection alone; the router asks the next one instead."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    # What is asked of the model unless a request says otherwise.
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None

    # What it can do.
    context_length: int | None = None
    supports_tools: bool = True
    supports_images: bool = False
    supports_json: bool = True
    continuation: Continuation | None = None
    """None: as the catalog says of the server."""

    # When it is asked.
    is_active: bool = True
    use_in_livekit: bool = True
    use_in_mcp: bool = True
    use_in_automation: bool = True
    pool: str = "default"
    priority: int = 0
    """Lower goes first."""
    weight: float = 1.0
    hedge: Literal["allowed", "never"] = "allowed"
    """`never`: it is asked only when those before it have failed."""

    # What it costs and may cost. Of limits, None: there is none.
    price_in: float | None = None
    """Per million tokens of the prompt. None: by the list of prices; 0: free."""
    price_out: float | None = None
    """The same of the answer."""
    rate_limit_rpm: int | None = None
    """Requests a minute."""
    rate_limit_tpm: int | None = None
    """Tokens a minute."""
    monthly_budget: float | None = None
    """In the currency of the prices."""

    # Whose it is.
    owner: str = ""
    team: str = ""
    visibility: Visibility = "private"

    # What a store keeps of it.
    is_guarded: bool = False
    """Somebody who is no admin said where it leads: only the public internet is dialled for it, and
    what the operator opened."""
    status: Status = "untested"
    status_reason: str = ""
    api_key_last4: str | None = None
    """Stands for the key where that is not shown. None: there is no key; empty: it is too short."""
    header_names: tuple[str, ...] = ()
    """Stand for the headers in the same way."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_used_at: datetime | None = None
    version: int = 0
    """Rises with every edit; 0: not stored."""

    def __post_init__(self) -> None:
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
        """The same with what stands for its key and headers in their place."""
        key = self.api_key
        last4 = self.api_key_last4 if key is None else key[-4:] if len(key) >= _SHOWABLE else ""
        names = tuple(sorted(self.headers)) or self.header_names
        return replace(self, api_key=None, headers={}, api_key_last4=last4, header_names=names)


SECRET_FIELDS = ("api_key", "headers")
"""Go in and never come out, but for whoever calls the server."""
STORE_MANAGED_FIELDS = (
    "owner", "is_guarded", "status", "status_reason", "api_key_last4", "header_names",
    "created_at", "updated_at", "last_used_at", "version",
)  # fmt: skip
"""Said by a store alone: no file and no edit may set them. (An admin may give another owner.)"""

_SHOWABLE = 12
"""Characters from which four of a key tell nothing of use."""


# ── What can be wrong with a record ──────────────────────────────────────────────────────────────

MAX_LENGTHS = {
    "id": 100, "name": 200, "description": 2_000, "provider": 50, "server": 50, "base_url": 2_000,
    "model_name": 300, "organization_id": 200, "api_version": 50, "deployment": 200, "region": 50,
    "pool": 100, "owner": 200, "team": 200, "status_reason": 500,
}  # fmt: skip
"""Characters. The tables have no limit of their own; these keep pages and logs readable."""
NUMBER_RANGES = {
    "max_retries": (0, 10), "temperature": (0, 2), "top_p": (0, 1), "max_tokens": (1, 10**9),
    "context_length": (1, 10**9), "priority": (-(10**9), 10**9), "weight": (0, 10**6),
    "price_in": (0, 10**6), "price_out": (0, 10**6), "rate_limit_rpm": (1, 10**9),
    "rate_limit_tpm": (1, 10**9), "monthly_budget": (0, 10**9), "version": (0, 10**9),
}  # fmt: skip
MAX_TIMEOUT = 3_600.0
_MOST_TAGS, _LONGEST_TAG = 50, 100
_LONGEST_SECRET, _LONGEST_BODY = 20_000, 100_000
ID_PATTERN = re.compile(r"[\w.:@+-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Would break a line of a log, or cannot be written as UTF-8."""
_USER = re.compile(r"[^/?#]*//[^/?#]*@")
_KEY_IN_QUERY = re.compile(
    r"\?.*\b((api|access|auth|subscription)[_-]?)?(key|token)=", re.IGNORECASE | re.DOTALL
)
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def _flaws(c: Connection) -> Iterator[str]:
    """What keeps it from working, never with a value that may be secret."""
    yield from _text_flaws(c)
    if c.base_url:
        yield from _address_flaws(c.base_url)
    yield from _number_flaws(c)
    secrets = (c.api_key or "", *c.headers, *c.headers.values())
    if any(_CONTROL.search(text.strip()) for text in secrets):
        yield "api_key and headers must not contain control characters"
    if len(c.api_key or "") + sum(len(n) + len(v) for n, v in c.headers.items()) > _LONGEST_SECRET:
        yield f"api_key and headers must have at most {_LONGEST_SECRET:,} characters together"
    if c.extra_body and not _fits(c.extra_body):
        yield f"extra_body must be JSON of at most {_LONGEST_BODY:,} bytes"
    for name in ("created_at", "updated_at", "last_used_at"):
        if (when := getattr(c, name)) and when.tzinfo is None:
            yield f"{name} needs a time zone"


def _text_flaws(c: Connection) -> Iterator[str]:
    for name, longest in MAX_LENGTHS.items():
        text = getattr(c, name)
        if len(text) > longest:
            yield f"{name} must have at most {longest:,} characters"
        if (_CONTROL_BUT_LINES if name == "description" else _CONTROL).search(text):
            yield f"{name} must not contain control characters"
    if c.id and not ID_PATTERN.fullmatch(c.id):
        yield "id must be of letters, digits and . : @ + _ -"
    if len(c.tags) > _MOST_TAGS or len(set(c.tags)) < len(c.tags):
        yield f"tags must differ, and be at most {_MOST_TAGS}"
    if not all(0 < len(tag) <= _LONGEST_TAG and not _CONTROL.search(tag) for tag in c.tags):
        yield f"tags must have 1 to {_LONGEST_TAG} characters each and no control characters"


def _number_flaws(c: Connection) -> Iterator[str]:
    if not 0 < c.timeout <= MAX_TIMEOUT:
        yield f"timeout must be above 0 s and at most {MAX_TIMEOUT:,.0f} s"
    for name, (least, most) in NUMBER_RANGES.items():
        value = getattr(c, name)
        if value is not None and not least <= value <= most:
            yield f"{name} must be from {least:,} to {most:,}"


def _address_flaws(address: str) -> Iterator[str]:
    # Before it is taken apart: `urlsplit` keeps what it has seen.
    if _USER.match(address):
        yield (
            "base_url must not contain a user name or password, which would be shown; put them "
            'in headers, as "Authorization": "Basic ..."'
        )
        return
    if _KEY_IN_QUERY.search(address):
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
    try:
        text = json.dumps(body, allow_nan=False, ensure_ascii=False)
        return len(text.encode()) <= _LONGEST_BODY  # half an emoji is no UTF-8
    except (TypeError, ValueError, RecursionError):
        return False
