"""Defines the settings of the store of connections, and of the clients of its API."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from llm_router.options import Quota
from llm_router.settings.field_types import (
    STATE_FOLDER,
    AllowedAddresses,
    DatabaseUrl,
    HttpUrl,
    RateLimit,
    RedisUrl,
    UserFile,
    split,
)
from llm_router.settings.section import Section

MAX_CHECKS = 10_000
"""Health checks stored per connection; the value for `llm_router.options.HealthOptions`."""


class StoreSettings(Section):
    """The database of connections, and their health checks"""

    database_url: DatabaseUrl = SecretStr("")
    """Database of connections, API keys, usage and the audit log: sqlite:///path/to/file or
    postgresql://user:password@host/name. Empty: the file ~/.local/state/patchbay/patchbay.sqlite3.
    """
    encryption_keys: SecretStr | None = None
    """Master keys that encrypt the connections' API keys, separated by commas: the first encrypts,
    all decrypt. Empty: the keys in ENCRYPTION_KEY_FILE."""
    encryption_key_file: UserFile = STATE_FOLDER / "master.key"
    """File of master keys, one a line. Made at the first start if missing; keep a copy
    elsewhere."""
    admin_key_file: UserFile = STATE_FOLDER / "admin.key"
    """File to which an admin API key is written when there is no valid admin key."""
    allowed_addresses: AllowedAddresses = ()
    """Private addresses that connections of non-admins may lead to, besides the public internet:
    networks such as 10.0.0.0/8, host names, *.suffixes, separated by commas. Admins may use any
    address."""
    assistants_file: Path = Path("config/assistants.toml")
    """File of assistants, a table for each (docs/assistants.md). A stored assistant takes
    precedence over one of the same name. Without the file, the settings of the agent are the only
    one."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """Connections that may be stored in all."""
    max_connections_per_owner: Annotated[int, Field(ge=1, le=100_000)] = 200
    """Connections that one owner may have. Admins may store more."""
    usage_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days for which single attempts stay in the usage log; their sums by hour and day stay
    forever."""
    chat_days: Annotated[int, Field(ge=0, le=3650)] = 0
    """Days after its last message after which a stored chat is deleted; 0: it stays until its owner
    deletes it."""
    call_retention: Literal["nothing", "facts", "transcript"] = "facts"
    """The part of a call that stays after its end: nothing, its facts (times, reason, the caller's
    hash), or its transcript as well. While it goes on its words are stored, so that another worker
    can take it over."""
    call_days: Annotated[int, Field(ge=0, le=3650)] = 30
    """Days after its end for which a call is stored; 0: until somebody deletes it."""
    message_days: Annotated[int, Field(ge=0, le=3650)] = 90
    """Days after which a message that a caller has left is deleted; 0: until somebody deletes
    it."""
    redact_card_numbers: bool = True
    """Store `[card number]` in place of what may be the number of a payment card."""
    api_rate_limit: RateLimit = "600/minute"
    """Requests that one API key may make, per second, minute, hour or day."""
    rate_limit_per_minute: Annotated[int | None, Field(ge=1, le=999_999)] = None
    """The same as a number a minute, for set-ups that name it so. Empty: API_RATE_LIMIT counts."""
    redis_url: RedisUrl = None
    """Redis server, such as redis://127.0.0.1:6379/0, that counts requests of several HTTP
    processes together. Empty, or while it does not answer: each process counts its own."""

    health_check_interval: Annotated[float, Field(ge=10, le=86_400)] = 60.0
    """Seconds between health checks of an active connection, which one of the HTTP processes makes.
    They request the list of models, which costs nothing."""
    health_check_with_a_word: bool = False
    """Check by requesting one token of a reply instead. It detects more (a missing model, an empty
    account), and costs that token."""
    health_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """Failed checks in a row after which a connection has the status error. Two successful checks
    in a row restore it."""
    auto_deactivate: bool = True
    """Deactivate a connection that has failed for AUTO_DEACTIVATE_AFTER hours without a break, if a
    working connection replaces it. The last working connection is never deactivated."""
    auto_deactivate_after: Annotated[float, Field(ge=1, le=720)] = 24.0
    """Hours of failures after which a connection may be deactivated."""
    health_history_days: Annotated[float, Field(ge=1, le=365)] = 7.0
    """Days for which health checks are stored, at most 10,000 per connection."""

    @model_validator(mode="after")
    def _history_is_long_enough(self) -> Self:
        hours = self.auto_deactivate_after
        history = min(self.health_history_days * 24, MAX_CHECKS * self.health_check_interval / 3600)
        if self.auto_deactivate and hours > history:
            raise ValueError(
                f"AUTO_DEACTIVATE_AFTER={hours:g} should be at most {history:.0f}, the hours for"
                " which checks are stored; raise HEALTH_HISTORY_DAYS or HEALTH_CHECK_INTERVAL, or"
                " set AUTO_DEACTIVATE=false"
            )
        return self

    @property
    def quota(self) -> Quota:
        return Quota(per_owner=self.max_connections_per_owner, in_all=self.max_connections)

    @property
    def key_rate_limit(self) -> str:
        """Requests that one API key may make, such as `600/minute`."""
        if self.rate_limit_per_minute:
            return f"{self.rate_limit_per_minute}/minute"
        return self.api_rate_limit

    @property
    def master_keys(self) -> tuple[str, ...]:
        """The keys of ENCRYPTION_KEYS, as text."""
        keys = self.encryption_keys.get_secret_value() if self.encryption_keys else ""
        return tuple(split(keys))


class ClientSettings(Section):
    """The command line and scripts, if the management API runs elsewhere"""

    patchbay_api_url: HttpUrl | None = None
    """Address of the HTTP process for `llm-router` and `llm_router.sdk`. Empty: they open
    DATABASE_URL themselves."""
    patchbay_api_key: SecretStr | None = None
    """API key for that address."""

    @property
    def api_key(self) -> str:
        return self.patchbay_api_key.get_secret_value() if self.patchbay_api_key else ""
