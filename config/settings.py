"""Defines every setting with its type, default and description.

An empty value means "not set", and quotes around a value are dropped. Names of engines, policies
and providers are checked by their loaders, not here.
"""

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings

from config.field_types import (
    AgentName,
    BackendType,
    Delay,
    FileOrOff,
    Hosts,
    Language,
    Languages,
    LiveKitKey,
    LiveKitSecret,
    LiveKitUrl,
    LogFormat,
    LogLevel,
    Names,
    Origins,
    OriginsOrAll,
    ProxyKey,
    is_this_machine,
)
from llm_router.settings.field_types import (
    HttpUrl,
    Port,
    RateLimit,
    Seconds,
    UserFile,
)
from llm_router.settings.loading import ENV_FILE, load_section
from llm_router.settings.section import Section
from llm_router.settings.store import ClientSettings, StoreSettings

_S = TypeVar("_S", bound=BaseSettings)


def _check_order(section: _S, lower: str, upper: str) -> _S:
    low = getattr(section, lower)
    high = getattr(section, upper)
    if low > high:
        raise ValueError(f"{lower.upper()}={low:g} should not be above {upper.upper()}={high:g}")
    return section


class LiveKitSettings(Section):
    """LiveKit, the media server of the calls"""

    livekit_url: Annotated[LiveKitUrl, Field(examples=[""])] = "ws://127.0.0.1:7880"
    """Address at which the worker and the HTTP process reach LiveKit. Empty: ws://127.0.0.1:7880,
    or the server that `make demo` and `make up` start."""
    livekit_public_url: LiveKitUrl | None = None
    """Address at which browsers reach LiveKit, if not LIVEKIT_URL."""
    livekit_api_key: LiveKitKey = Field("", validate_default=True)
    """API key from the LiveKit server's own configuration. Empty, with a LiveKit server on this
    machine: devkey, the key of `livekit-server --dev`."""
    livekit_api_secret: LiveKitSecret = Field(SecretStr(""), validate_default=True)
    """Secret of that key: 32 characters or more, except for a LiveKit server that only this machine
    can reach. Empty, with devkey: secret."""


class AgentSettings(Section):
    """The agent"""

    agent_name: AgentName = "patchbay"
    """Name under which the worker registers with LiveKit, which dispatches calls to it."""
    agent_language: Language = "en"
    """Language of the agent, as a code such as en: it understands, speaks and apologises in it."""
    agent_other_languages: Languages = ()
    """Languages to which a caller may change, separated by commas, where the speech-to-text engine
    recognises them (docs/speech.md). Empty: none."""
    agent_greeting: str | None = None
    """The agent's first words. Empty: the greeting in PHRASES_FILE."""
    assistant_prompt_file: Path = Path("config/prompts/assistant.md")
    """File with the system prompt of the assistant."""
    phone_file: Path = Path("config/phone.toml")
    """File of the telephone: numbers, trunks, opening hours (docs/phone.md). Without the file, no
    number is answered."""
    phrases_file: Path = Path("config/prompts/phrases.toml")
    """File with the fillers, apologies and hand-over phrases of each language."""
    documents_folder: Path | None = None
    """Folder of texts (.md, .txt) in which the agent finds facts, such as opening hours. Empty:
    none; in the demo, the texts of a made-up shop, config/documents."""


MIN_TURN_SILENCE = 0.25
"""Shortest silence (s) with which LiveKit's v1-mini detector starts."""


class SpeechSettings(Section):
    """Speech to text (STT), text to speech (TTS) and turn taking"""

    voice: Literal["neural", "espeak"] | None = None
    """Speech that `make setup` provides, and that auto below stands for: neural (whisper and a
    Piper voice), or espeak (espeak-ng and pocketsphinx alone, 260 MB less to download). Empty:
    neural, where it can be provided."""
    stt_engine: str = "auto"
    """STT engine: whisper (runs here), embedded (runs here; pocketsphinx, English), openai (any
    server with OpenAI's audio API), livekit_plugin:<name>, or auto: whisper where it is set up and
    knows AGENT_LANGUAGE, else embedded."""
    stt_base_url: HttpUrl | None = None
    """Address of the STT server, for the engine openai."""
    stt_api_key: SecretStr | None = None
    """API key of the STT engine, if it needs one. A LiveKit plugin reads its vendor's own variable,
    such as DEEPGRAM_API_KEY, from the environment or from this file, too."""
    stt_model: str | None = None
    """Model of the STT engine. Empty: the engine's default. For whisper, the name of a folder in
    MODELS_FOLDER/whisper or the path of one."""
    tts_engine: str = "auto"
    """TTS engine: piper (a neural voice that runs here), kokoro (a better one, for fast machines),
    embedded (espeak-ng, like a robot), openai (any server with OpenAI's audio API),
    livekit_plugin:<name>, or auto: piper where it is set up and speaks AGENT_LANGUAGE, else
    embedded."""
    tts_base_url: HttpUrl | None = None
    """Address of the TTS server, for the engine openai."""
    tts_api_key: SecretStr | None = None
    """API key of the TTS engine, if it needs one. A LiveKit plugin reads its vendor's own variable,
    such as DEEPGRAM_API_KEY, from the environment or from this file, too."""
    tts_model: str | None = None
    """Model of the TTS engine. Empty: the engine's default."""
    tts_voice: str | None = None
    """Voice of the TTS engine. Empty: one for AGENT_LANGUAGE. For piper, the name of a voice in
    MODELS_FOLDER or the path of its .onnx, with #<speaker> where it has several."""
    tts_speed: Annotated[float, Field(ge=0.5, le=2)] = 1.0
    """Speed of the voice, from 0.5 to 2; 1 is its own. LiveKit plugins do not heed it."""
    models_folder: UserFile | None = None
    """Folder of the speech models that run here: whisper/<name>/ of faster-whisper, and
    piper/<name>.onnx. Empty: ~/.cache/patchbay/models, which `make setup` fills."""
    vad_engine: Literal["native", "silero"] = "native"
    """Voice activity detector (VAD), which tells speech from silence: native (LiveKit's own, 8 MB
    of memory per process) or silero (the plugin, 25 MB)."""
    vad_min_silence: Seconds = 0.25
    """Seconds of silence that end a stretch of speech; TURN_DETECTION=v1-mini needs 0.25 or
    more."""
    turn_detection: Literal["v1-mini", "vad"] = "v1-mini"
    """Detector of the end of a caller's turn: v1-mini (a model that runs here, and the caller's
    words) or vad (silence alone)."""
    endpointing_min_delay: Delay = 0.2
    """Seconds of silence that end a turn which sounds finished."""
    endpointing_max_delay: Delay = 0.9
    """Seconds of silence that end a turn that is clearly unfinished, by its words ("I would like
    to") or by its sound. A turn that may be finished ends between ENDPOINTING_MIN_DELAY and this:
    the more finished it sounds, the sooner. A longer time lets people think aloud."""
    preemptive_generation: bool = True
    """Start generating the reply before the end of the turn is certain: faster, but some replies
    are paid for and discarded."""
    filler_after: Seconds = 1.2
    """Seconds without a word of the reply before the agent speaks a short filler."""

    @model_validator(mode="after")
    def _turns_can_end(self) -> Self:
        if self.turn_detection == "v1-mini" and self.vad_min_silence < MIN_TURN_SILENCE:
            raise ValueError(
                f"VAD_MIN_SILENCE={self.vad_min_silence:g} should be at least {MIN_TURN_SILENCE}"
                " with TURN_DETECTION=v1-mini; for less, set TURN_DETECTION=vad"
            )
        return _check_order(self, "endpointing_min_delay", "endpointing_max_delay")


class LimitSettings(Section):
    """Limits of a call, so that no visitor can spend without end. 0: unlimited"""

    message_max_characters: Annotated[int, Field(ge=0)] = 2000
    """Characters of one message, typed or spoken. A longer one is not sent to a model; the caller
    is asked for fewer words."""
    turns_per_minute: Annotated[int, Field(ge=0)] = 20
    """Messages of a caller that are answered in any minute."""
    call_max_turns: Annotated[int, Field(ge=0)] = 200
    """Messages of a caller that are answered in one call; then the agent ends it."""
    call_max_tokens: Annotated[int, Field(ge=0)] = 500_000
    """Tokens of one call, prompts and replies of all attempts together; then the agent ends it."""
    call_max_cost: Annotated[float, Field(ge=0)] = 0
    """Cost of one call, in the currency of the connections' prices; then the agent ends it."""
    call_max_seconds: Annotated[float, Field(ge=0)] = 3600
    """Length (s) of a call; then the agent ends it."""
    call_silence: Annotated[float, Field(ge=0)] = 60
    """Seconds of silence after which the agent asks whether the caller is still there. It asks
    twice, and ends the call after the third silence."""
    history_max_characters: Annotated[int, Field(ge=0)] = 24_000
    """Characters of the conversation that go to a model with each request; the oldest turns stay
    out. A connection with a shorter context gets less."""
    reply_max_seconds: Annotated[float, Field(gt=0)] = 240
    """Seconds of talk of one reply; then it ends at a sentence. This one cannot be unlimited."""
    reply_max_tokens: Annotated[int, Field(ge=0)] = 2048
    """Tokens that a model is given for one reply, where its connection sets no `max_tokens`. Some
    servers count a model's reasoning towards it."""
    call_rate_limit: RateLimit = "100/day"
    """Calls that one client address may begin, per second, minute, hour or day."""


_CONNECTIONS_FILE = Path("config/connections.json")


class RouterSettings(Section):
    """The router and its connections"""

    router_policy: str = "latency"
    """Policy that ranks the connections: a module of llm_router/routing/policies."""
    connections_file: Path = _CONNECTIONS_FILE
    """File of connections, used as long as none is stored in the database. If it exists, the
    servers named below are ignored."""
    offline_responder: bool = True
    """Answer by built-in rules (the time, sums, small talk) where no model is configured and none
    is found on this machine. If a configured model fails, the agent says phrases of PHRASES_FILE
    instead. false: phrases in both cases."""
    first_word_deadline_min: Seconds = 0.2
    """Shortest wait (s) for the first word before the next connection is tried."""
    first_word_deadline_max: Seconds = 2.0
    """Longest wait (s) for the first word before the next connection is tried."""
    reply_deadline: Seconds = 60.0
    """Time limit (s) of a whole reply."""
    scoreboard_file: FileOrOff = None
    """Scoreboard by which calls share which connections are down or slow. Empty: in the database. A
    path: in that file, for one machine with a distant database. off: calls share nothing."""
    hedge_budget: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of replies, from 0 to 1, for which a second connection may be tried before the first
    has failed. 0: never."""
    queue_poll: Annotated[float, Field(ge=0)] = 0
    """Seconds between reads of the queue length of model servers that serve only you (vLLM, SGLang,
    llama.cpp with --metrics). Servers with a queue are tried later. 0: off."""
    llm_backend_type: BackendType | None = None
    """One kind of server to use, for older set-ups: ollama, vllm, instructlab, openai, or local
    (servers found on this machine). The addresses and keys of the other kinds are ignored;
    OPENAI_COMPATIBLE_DATA still counts. Empty: all servers below."""
    vllm_base_url: HttpUrl | None = None
    """Address of a vLLM server."""
    ollama_base_url: HttpUrl | None = None
    """Address of an Ollama server."""
    instructlab_base_url: HttpUrl | None = None
    """Address of an InstructLab server. LLM_BACKEND_TYPE=instructlab works without it, too."""
    openai_base_url: HttpUrl | None = None
    """Address of a server with OpenAI's API; OPENAI_API_BASE, OPENAI_API_URL and other names in use
    count, too. Empty, with a key: OpenAI's own."""
    openai_api_key: SecretStr | None = None
    """API key for it."""
    openai_compatible_data: SecretStr | None = None
    """Several servers, as JSON: [{"provider", "baseUrl", "apiKey", "models": [{"apiName", "uiName",
    "supportsTools"}]}]. Secret, since it holds keys."""
    default_model: str | None = None
    """Model to use. Empty: the first chat model that the server lists."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        is_chosen = self.connections_file != _CONNECTIONS_FILE
        if is_chosen and not self.connections_file.is_file():
            raise ValueError(
                f"CONNECTIONS_FILE={self.connections_file}: there is no such file; correct it, or"
                " remove it to use the servers that are named or found"
            )
        return _check_order(self, "first_word_deadline_min", "first_word_deadline_max")


class WorkerSettings(Section):
    """The worker process"""

    worker_host: str = "127.0.0.1"
    """Host on which the worker answers health checks."""
    worker_port: Port = 8081
    """Port on which the worker answers health checks."""
    worker_idle_processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Least number of processes started in advance, so that a call does not wait for one; the
    worker starts more when it expects calls (docs/survival.md)."""
    worker_load_limit: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Load, from 0 to 1, above which the worker accepts no more calls: that of the processor or of
    the models, whichever is higher. 0: it accepts every call."""
    worker_drain_timeout: Annotated[int, Field(ge=0)] = 60
    """Seconds for which calls may continue after the worker was asked to stop."""
    job_memory_limit_mb: Annotated[int, Field(ge=0)] = 1024
    """Memory (MB) above which a call's process is ended, so that a leak does not end other calls.
    0: unlimited."""
    prometheus_port: Port | None = None
    """Port of the worker's Prometheus metrics on this machine; WORKER_PORT has them at /metrics,
    too. Empty: none."""
    otel_exporter_otlp_endpoint: HttpUrl | None = None
    """OTLP/HTTP collector for the traces of all processes, such as http://127.0.0.1:4318. They hold
    no words of a call. Empty: no traces."""
    log_level: LogLevel = "INFO"
    """Log level of the worker and the HTTP process: DEBUG, INFO, WARNING or ERROR. DEBUG also logs
    the words and numbers of callers."""
    log_format: LogFormat = "auto"
    """Lines of the logs: json, one object each; text; or auto: text on a terminal, else json."""


class HttpSettings(Section):
    """The HTTP process: web page, tokens and management API"""

    demo: bool = False
    """True for one person's own machine, as set by `make demo`: connections that are found are
    stored at the first start, and the page names all connections. Otherwise nothing is stored
    unasked."""
    show_connections: bool | None = None
    """Whether visitors of the page learn which connections and models answer, and how soon. Of the
    stored connections it names only those that are visible to everyone. Empty: only in the demo,
    and only while HTTP_HOST is this machine's own and there are no TRUSTED_PROXIES."""

    http_host: str = "127.0.0.1"
    """Address on which it listens. 0.0.0.0: also reachable from other machines."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8787
    """Port on which it listens. 0: any free port."""
    token_ttl: Annotated[int, Field(ge=30, le=3600)] = 120
    """Seconds for which a token lets its holder join a call, and for which an agent waits for them
    there; the call may last longer."""
    token_rate_limit: RateLimit = "10/minute"  # noqa: S105  a rate, no secret
    """Tokens that one client address may request, per second, minute, hour or day."""
    max_calls: Annotated[int, Field(ge=0)] = 0
    """Calls at a time in all; further visitors wait in the queue. 0: as many as the workers
    take."""
    queue_length: Annotated[int, Field(ge=0, le=100)] = 10
    """Visitors that may wait for a free line, with a voice that says their place; further ones are
    asked to come back. 0: no visitor waits."""
    queue_max_wait: Annotated[float, Field(ge=30, le=3600)] = 300
    """Seconds after which a waiting visitor is asked to call again, and the call ends."""
    max_calls_per_address: Annotated[int, Field(ge=0)] = 4
    """Calls at a time from one client address, so that none takes all places: one fewer than
    MAX_CALLS at most. Raise it for offices that share an address. 0: one fewer than MAX_CALLS;
    without MAX_CALLS no limit."""
    shared_rooms: Names = ()
    """Rooms that any visitor may join by name, separated by commas: there they hear and read each
    other. Empty: none, each visitor has a room of their own."""
    visitor_assistants: Names = ()
    """Assistants that a visitor's page may ask for by name, separated by commas; the first one
    answers visitors who name none. Empty: the default one answers every visitor."""
    allowed_origins: Origins = ()
    """Origins of sites that may embed the page or request tokens, separated by commas. Empty: only
    its own."""
    cors_origins: OriginsOrAll = ()
    """Origins of sites whose pages may ask the API with an API key, separated by commas; * for
    all. Empty: those of ALLOWED_ORIGINS."""
    proxy_api_key: ProxyKey = None
    """A fixed API key of 16 characters or more, for programs that know one. It has the role
    operator and reaches the connections that are visible to everyone. Empty: there is none."""
    local_llm_enable_pull: bool = False
    """Whether /api/local-llm/ollama/pull and .../delete may be used, by those who may edit the
    connection."""
    public_hosts: Hosts = ()
    """Names at which browsers reach the HTTP process, such as agent.example.org or *.example.org,
    separated by commas; it then answers requests for these names and localhost only. Empty: for
    every name; a demo that only this machine reaches, for localhost only."""
    trusted_proxies: str | None = None
    """Addresses or networks of proxies whose X-Forwarded-For is trusted, separated by commas.
    Empty: none."""
    page_dir: Path = Path("web/widget/dist")
    """Folder of the built web page."""
    console_dir: Path = Path("web/console/dist")
    """Folder of the built console, which is served below /ai-compute."""


class GatewaySettings(Section):
    """The gateway as a process of its own, `python -m agent.gateway`"""

    gateway_port: Annotated[int, Field(ge=0, le=65535)] = 8788
    """Port on which it listens, on HTTP_HOST. 0: any free port."""
    gateway_processes: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that share the port, each with a core of its own to use. Each counts its own
    requests and replies against the limits; with REDIS_URL, requests are counted for all processes
    together."""


class Settings(
    LiveKitSettings,
    AgentSettings,
    SpeechSettings,
    LimitSettings,
    RouterSettings,
    WorkerSettings,
    HttpSettings,
    GatewaySettings,
    StoreSettings,
    ClientSettings,
):
    """Every setting of every section. A field has the name of its variable in lower case."""

    @property
    def names_are_public(self) -> bool:
        """Whether visitors may learn the names of connections and models."""
        if self.show_connections is not None:
            return self.show_connections
        # A proxy on this machine brings visitors from elsewhere.
        return self.demo and is_this_machine(self.http_host) and self.trusted_proxies is None


class EngineSettings(AgentSettings, SpeechSettings):
    """The sections that speech engines are made of, for checks while others are invalid."""


def load_settings(env_file: Path = ENV_FILE) -> Settings:
    """Reads all settings; the environment takes precedence over the file.

    Raises SettingsError, which lists every invalid one.
    """
    return load_section(Settings, env_file)
