"""Every setting, typed, with its default and its reason; `load_settings()` reads them.

They come from the environment and from a `.env` file; the environment wins. An empty value means
"not set". Which engines, policies and providers exist is not known here: their loaders say so.
"""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, get_args

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.field_types import (
    STATE_FOLDER,
    AgentName,
    AllowedAddresses,
    BackendType,
    DatabaseUrl,
    Delay,
    FileOrOff,
    HttpUrl,
    Language,
    LiveKitSecret,
    LiveKitUrl,
    LogLevel,
    Origins,
    Port,
    RateLimit,
    RedisUrl,
    Seconds,
    UserFile,
    split,
)

_S = TypeVar("_S", bound=BaseSettings)

ENV_FILE = Path(".env")


class SettingsError(Exception):
    """What was set cannot work; says which variable, what it was (never a secret), what is due."""


def _in_order(section: _S, least: str, most: str) -> _S:
    low, high = getattr(section, least), getattr(section, most)
    if low > high:
        raise ValueError(f"{least.upper()}={low:g} should not be above {most.upper()}={high:g}")
    return section


class _Section(BaseSettings):
    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        allow_inf_nan=False,
        str_strip_whitespace=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


class LiveKitSettings(_Section):
    """LiveKit, which carries the calls"""

    livekit_url: LiveKitUrl = "ws://127.0.0.1:7880"
    """Where the worker and the HTTP process reach LiveKit."""
    livekit_public_url: LiveKitUrl | None = None
    """Where browsers reach LiveKit, if that is another address than LIVEKIT_URL."""
    livekit_api_key: str
    """A key from the LiveKit server's own configuration."""
    livekit_api_secret: LiveKitSecret
    """The secret of that key, 32 characters or more."""


class AgentSettings(_Section):
    """The agent"""

    agent_name: AgentName = "patchbay"
    """The name under which the worker registers and is sent to calls."""
    agent_language: Language = "en"
    """What the agent hears, speaks and apologises in."""
    agent_greeting: str | None = None
    """Its first words. Empty: the greeting in PHRASES_FILE."""
    assistant_prompt_file: Path = Path("config/prompts/assistant.md")
    """What the assistant is told about itself."""
    phrases_file: Path = Path("config/prompts/phrases.toml")
    """Fillers, apologies and hand-over lines, by language."""


_MIN_TURN_SILENCE = 0.25
"""Seconds of silence without which LiveKit's detector refuses to start."""


class SpeechSettings(_Section):
    """Ears, voice and turns"""

    stt_engine: str = "embedded"
    """Speech to text: embedded (English, no key), openai (any server that speaks its wire),
    livekit_plugin:<name>."""
    stt_base_url: HttpUrl | None = None
    """Address of the openai engine's server."""
    stt_api_key: SecretStr | None = None
    """The engine's key, where it wants one."""
    stt_model: str | None = None
    """The engine's model. Empty: its own default."""
    tts_engine: str = "embedded"
    """Text to speech: embedded (no key), openai (any server that speaks its wire),
    livekit_plugin:<name>."""
    tts_base_url: HttpUrl | None = None
    """Address of the openai engine's server."""
    tts_api_key: SecretStr | None = None
    """The engine's key, where it wants one."""
    tts_model: str | None = None
    """The engine's model. Empty: its own default."""
    tts_voice: str | None = None
    """The engine's voice. Empty: one for AGENT_LANGUAGE."""
    vad_engine: Literal["native", "silero"] = "native"
    """What tells speech from silence: native (LiveKit's own, 8 MB a process) or silero (the plugin,
    25 MB)."""
    vad_min_silence: Seconds = 0.25
    """Seconds of silence that end a stretch of speech; v1-mini needs 0.25 to judge by."""
    turn_detection: Literal["v1-mini", "vad"] = "v1-mini"
    """What tells a pause from the end of a turn: v1-mini (a model that runs here) or vad (silence
    alone)."""
    endpointing_min_delay: Delay = 0.2
    """Seconds to wait after speech when the turn sounds finished."""
    endpointing_max_delay: Delay = 0.9
    """Seconds to wait when it does not. Longer lets people think aloud."""
    preemptive_generation: bool = True
    """Ask the model while the end of the turn is still being decided: a faster answer, at the price
    of answers thrown away."""
    filler_after: Seconds = 1.2
    """Seconds without a word of the answer before a short filler is spoken."""

    @model_validator(mode="after")
    def _turns_can_end(self) -> Self:
        if self.turn_detection == "v1-mini" and self.vad_min_silence < _MIN_TURN_SILENCE:
            raise ValueError(
                f"VAD_MIN_SILENCE={self.vad_min_silence:g} should be at least {_MIN_TURN_SILENCE}"
                " with TURN_DETECTION=v1-mini; for less, set TURN_DETECTION=vad"
            )
        return _in_order(self, "endpointing_min_delay", "endpointing_max_delay")


_CONNECTIONS_FILE = Path("config/connections.json")


class RouterSettings(_Section):
    """The router and its connections"""

    router_policy: str = "latency"
    """Which connection is asked first: a module of llm_router/policies."""
    connections_file: Path = _CONNECTIONS_FILE
    """Where connections are written down, for as long as none is stored. If this file is there, the
    servers named below are not looked at."""
    first_word_deadline_min: Seconds = 0.2
    """Seconds: the next connection is never started earlier, however fast the first has been."""
    first_word_deadline_max: Seconds = 2.0
    """Seconds: the next connection is started by then, however slow the first has been."""
    reply_deadline: Seconds = 60.0
    """Seconds a whole answer may take."""
    scoreboard_file: FileOrOff = None
    """Where calls note what they learn of the connections, for all others to know: who is down, who
    is slow. Empty: in the database. A file: for one machine whose database is far away. off: each
    call learns for itself."""
    hedge_budget: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of answers for which a second connection may be asked before the first has failed.
    0: never."""
    queue_poll: Annotated[float, Field(ge=0)] = 0
    """Seconds between two looks at the queues of model servers that are yours alone (vLLM, SGLang,
    llama.cpp with --metrics): who has callers waiting is asked later. 0: none."""
    llm_backend_type: BackendType | None = None
    """The one server to use, as older set-ups name it: its address and key below count, those of
    the others do not. local: whatever is found on this machine. Empty: all that are named."""
    vllm_base_url: HttpUrl | None = None
    """A vLLM server."""
    ollama_base_url: HttpUrl | None = None
    """An Ollama server."""
    instructlab_base_url: HttpUrl | None = None
    """An InstructLab server, which LLM_BACKEND_TYPE=instructlab also finds without it."""
    openai_base_url: HttpUrl | None = None
    """A server that speaks OpenAI's wire. Empty, with a key: OpenAI's own."""
    openai_api_key: SecretStr | None = None
    """The key for it."""
    openai_compatible_data: SecretStr | None = None
    """Several servers at once, as JSON: [{"provider", "baseUrl", "apiKey", "models": [{"apiName",
    "uiName", "supportsTools"}]}]. Secret, since it holds keys."""
    default_model: str | None = None
    """The model to ask for. Empty: the first that the server lists."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        is_wished_for = self.connections_file != _CONNECTIONS_FILE
        if is_wished_for and not self.connections_file.is_file():
            raise ValueError(
                f"CONNECTIONS_FILE={self.connections_file}: there is no such file; correct it, or"
                " leave it out to use the servers that are named or found"
            )
        return _in_order(self, "first_word_deadline_min", "first_word_deadline_max")


class WorkerSettings(_Section):
    """The worker process"""

    worker_host: str = "127.0.0.1"
    """Where the worker answers health checks."""
    worker_port: Port = 8081
    """The port of those."""
    worker_idle_processes: Annotated[int, Field(ge=0, le=64)] = 1
    """Processes kept warm, so that a call does not wait for one."""
    worker_load_limit: Annotated[float, Field(ge=0, le=1)] = 0.7
    """No more calls are taken above this load, from 0 to 1: the processor's or the models',
    whichever is worse. 0: every call is taken."""
    worker_drain_timeout: Annotated[int, Field(ge=0)] = 60
    """Seconds that calls may go on after the worker was told to stop."""
    job_memory_limit_mb: Annotated[int, Field(ge=0)] = 1024
    """A call's process is ended above this many MB, so that one leak does not take the others
    along. 0: never."""
    prometheus_port: Port | None = None
    """The port of the worker's metrics. Empty: none."""
    otel_exporter_otlp_endpoint: HttpUrl | None = None
    """A collector of traces that speaks OTLP over HTTP, such as http://127.0.0.1:4318. What is said
    in a call is left out. Empty: no traces."""
    log_level: LogLevel = "INFO"
    """How much is logged, by the HTTP process too: DEBUG, INFO, WARNING or ERROR."""


class HttpSettings(_Section):
    """The HTTP process: page and tokens"""

    demo: bool = False
    """A person's own machine, as `make demo` has it: what was found is stored at first start, and
    the page names every connection. Elsewhere nothing is added unasked, and the page names what was
    found and what is stored for everyone."""

    http_host: str = "127.0.0.1"
    """Where it listens. 0.0.0.0: also for other machines."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8787
    """Its port. 0: any free one."""
    token_ttl: Annotated[int, Field(ge=30, le=86400)] = 600
    """Seconds in which a token can be used to join; a call may last longer."""
    token_rate_limit: RateLimit = "10/minute"  # noqa: S105  a rate, no secret
    """Tokens that one address may ask for: a number per second, minute, hour or day."""
    allowed_origins: Origins = ()
    """Sites that may embed the page or ask for tokens, parted by commas. Empty: this one only."""
    trusted_proxies: str | None = None
    """Addresses or networks of proxies whose X-Forwarded-For is believed, parted by commas. Empty:
    none."""
    page_dir: Path = Path("web/widget/dist")
    """The built page."""


MAX_CHECKS = 10_000
"""That are kept of one connection; `llm_router.options.HealthOptions` is told."""


class StoreSettings(_Section):
    """Stored connections, and the API that manages them"""

    database_url: DatabaseUrl = SecretStr("")
    """Where connections, API keys, usage and the audit log are kept: sqlite:///path/to/file or
    postgresql://user:password@host/name. Empty: the file ~/.local/state/patchbay/patchbay.sqlite3.
    """
    encryption_keys: SecretStr | None = None
    """Master keys that seal the connections' own keys, parted by commas: the first seals, all open.
    Empty: those in ENCRYPTION_KEY_FILE."""
    encryption_key_file: UserFile = STATE_FOLDER / "master.key"
    """Master keys, one a line. Made at first start if there is none; keep a copy elsewhere."""
    admin_key_file: UserFile = STATE_FOLDER / "admin.key"
    """Where the first admin's API key is written while there is no admin key that works."""
    allowed_addresses: AllowedAddresses = ()
    """Where connections of people other than admins may lead, besides the public internet: networks
    such as 10.0.0.0/8, host names, *.endings, parted by commas. Admins may name any address."""
    usage_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days for which single attempts are kept; their sums by hour and day stay for good."""
    api_rate_limit: RateLimit = "600/minute"
    """Requests that one API key may make: a number per second, minute, hour or day."""
    redis_url: RedisUrl = None
    """A Redis server, such as redis://127.0.0.1:6379/0, that counts requests for several HTTP
    processes together. Empty: each counts for itself."""

    health_check_interval: Annotated[float, Field(ge=10, le=86_400)] = 60.0
    """Seconds between two checks of a connection that is in use; one HTTP process does them for
    all. They ask for the list of models, which costs nothing."""
    health_check_with_a_word: bool = False
    """Check by one token of an answer instead. Sees more (a model that is missing, an empty
    account), and costs that token."""
    health_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """Checks in a row that fail before the status of a connection is error. One that goes well
    again needs two."""
    auto_deactivate: bool = True
    """Switch a connection off that has failed for AUTO_DEACTIVATE_AFTER without a break, if another
    one that works takes its place: never the last."""
    auto_deactivate_after: Annotated[float, Field(ge=1, le=720)] = 24.0
    """Hours of that."""
    health_history_days: Annotated[float, Field(ge=1, le=365)] = 7.0
    """For how long checks are kept, and at most 10,000 of each connection."""

    @model_validator(mode="after")
    def _history_tells_how_long(self) -> Self:
        hours = self.auto_deactivate_after
        kept = min(self.health_history_days * 24, MAX_CHECKS * self.health_check_interval / 3600)
        if self.auto_deactivate and hours > kept:
            raise ValueError(
                f"AUTO_DEACTIVATE_AFTER={hours:g} should be at most {kept:.0f}, as long as checks"
                " are kept; raise HEALTH_HISTORY_DAYS or HEALTH_CHECK_INTERVAL, or set"
                " AUTO_DEACTIVATE=false"
            )
        return self

    @property
    def master_keys(self) -> tuple[str, ...]:
        """Those of ENCRYPTION_KEYS, as text."""
        keys = self.encryption_keys.get_secret_value() if self.encryption_keys else ""
        return tuple(split(keys))


class ClientSettings(_Section):
    """The command line and scripts, where the management API is elsewhere"""

    patchbay_api_url: HttpUrl | None = None
    """The HTTP process that `llm-router` and `llm_router.sdk` ask. Empty: they open DATABASE_URL
    themselves."""
    patchbay_api_key: SecretStr | None = None
    """The API key they ask with."""

    @property
    def api_key(self) -> str:
        return self.patchbay_api_key.get_secret_value() if self.patchbay_api_key else ""


class Settings(
    LiveKitSettings,
    AgentSettings,
    SpeechSettings,
    RouterSettings,
    WorkerSettings,
    HttpSettings,
    StoreSettings,
    ClientSettings,
):
    """All of them. A field is its variable in small letters."""


def load_settings(env_file: Path = ENV_FILE) -> Settings:
    """All settings. Raises SettingsError, which lists everything that is wrong."""
    return load_section(Settings, env_file)


def load_section(section: type[_S], env_file: Path = ENV_FILE) -> _S:
    """One section alone, for a command that needs no more. Raises SettingsError."""
    read: Callable[..., _S] = section
    try:
        return read(_env_file=env_file)
    except ValidationError as error:
        # Not chained: the cause would print what was given, secrets included.
        raise SettingsError(_explain(error, section.model_fields)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{env_file} cannot be read ({error}); correct or remove it") from error


def environment(env_file: Path = ENV_FILE) -> Mapping[str, str]:
    """What is set, as text, under the variables' own names; holds secrets.

    For the search for connections, whose records may name variables that are no settings.
    """
    sources = (dotenv_values(env_file), os.environ)
    return {name: value for source in sources for name, value in source.items() if value}


def _explain(error: ValidationError, fields: Mapping[str, FieldInfo]) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        message = re.sub(r"^(Value error, |(Input|String|Value) (?=should))", "", problem["msg"])
        name = str(problem["loc"][0]) if problem["loc"] else ""
        if not name:
            lines.append(message)
        elif problem["type"] == "missing":
            lines.append(f"{name.upper()} is not set: {fields[name].description}")
        else:
            lines.append(f"{name.upper()}{_shown_value(problem['input'], fields[name])} {message}")
    return "\n".join(dict.fromkeys(lines))


def _shown_value(value: object, field: FieldInfo) -> str:
    if SecretStr in {field.annotation, *get_args(field.annotation)}:
        return " (a secret, not shown)"
    # An address may carry a password.
    return "=" + re.sub(r"//[^/@]*@", "//...@", str(value))
