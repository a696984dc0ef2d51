"""Defines AssistantRecord, which says how one assistant answers calls."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from llm_router.connections.json_shape import is_within
from llm_router.errors import ConfigurationError
from llm_router.voice.calls import Keep
from llm_router.voice.faults import explain
from llm_router.voice.tools import HttpTool, McpServer

_T = TypeVar("_T", HttpTool, McpServer)
DEFAULT = "default"
"""Name of the assistant of calls that name none."""
MAX_INSTRUCTIONS = 100_000  # characters
_MAX_VALUES = 5_000
"""Values of one record, nested ones included."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that no store or log takes; a line may end in a text."""


def _readable(text: str) -> str:
    text = text.replace("\r\n", "\n")
    if _CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


def _differing(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(words)) < len(words):
        raise ValueError("must differ from each other")
    return words


def _named(tools: tuple[_T, ...]) -> tuple[_T, ...]:
    if len({tool.name for tool in tools}) < len(tools):
        raise ValueError("must have names that differ from each other")
    return tools


NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
AssistantName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text = Annotated[str, AfterValidator(_readable)]
_Word = Annotated[
    str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")
]
_Language = Annotated[
    str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)
]
_ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
_Seconds = Annotated[float, Field(ge=0, le=86_400, strict=True)]


class AssistantRecord(BaseModel):
    """One assistant: its words, its voice, its tools and its rules. Immutable.

    A field that is not set (None) has the value of the setting for all calls, which its text names.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    name: AssistantName
    """Name by which calls are given to it: small letters, digits, - and _."""
    description: Annotated[Text, Field(max_length=2_000)] = ""
    """Note for the people who manage it."""

    # Words.
    instructions: Annotated[Text, Field(max_length=MAX_INSTRUCTIONS)] | None = None
    """System prompt. Not set: the file that ASSISTANT_PROMPT_FILE names."""
    greeting: Annotated[Text, Field(max_length=2_000)] | None = None
    """First words; "": it waits for the caller's. Not set: AGENT_GREETING."""
    languages: Annotated[
        tuple[_Language, ...], Field(max_length=20), AfterValidator(_differing)
    ] = ()
    """Languages of its calls, as codes such as en; a call begins in the first, and changes to
    another with its caller. Empty: AGENT_LANGUAGE and AGENT_OTHER_LANGUAGES."""

    # Speech.
    stt: _Word | None = None
    """Speech-to-text engine. Not set: STT_ENGINE."""
    stt_model: _Word | None = None
    """Model of that engine. Not set: STT_MODEL, or the engine's default where `stt` is set."""
    tts: _Word | None = None
    """Text-to-speech engine. Not set: TTS_ENGINE."""
    tts_model: _Word | None = None
    """Model of that engine. Not set: TTS_MODEL, or the engine's default where `tts` is set."""
    voice: _Word | None = None
    """Voice of that engine. Not set: TTS_VOICE, or one for the language where `tts` or another
    language is set."""
    voices: Annotated[dict[_Language, _Word], Field(max_length=20)] = Field(default_factory=dict)
    """Voices of that engine by language, for callers who change theirs. Not set: one for the
    language."""
    speed: Annotated[float, Field(ge=0.5, le=2, strict=True)] | None = None
    """Speed of the voice, from 0.5 to 2. Not set: TTS_SPEED."""

    # Turns.
    turn_detection: Literal["v1-mini", "vad"] | None = None
    """Detector of the end of a caller's turn. Not set: TURN_DETECTION."""
    vad_engine: Literal["native", "silero"] | None = None
    """Voice activity detector. Not set: VAD_ENGINE."""
    vad_min_silence: Annotated[float, Field(ge=0.05, le=10, strict=True)] | None = None
    """Seconds of silence that end a stretch of speech. Not set: VAD_MIN_SILENCE."""
    endpointing_min_delay: Annotated[float, Field(ge=0, le=60, strict=True)] | None = None
    """Seconds to wait after speech that sounds finished. Not set: ENDPOINTING_MIN_DELAY."""
    endpointing_max_delay: Annotated[float, Field(ge=0, le=60, strict=True)] | None = None
    """Seconds to wait after speech that sounds unfinished. Not set: ENDPOINTING_MAX_DELAY."""
    preemptive_generation: Annotated[bool, Field(strict=True)] | None = None
    """Generate replies before the end of a turn is certain. Not set: PREEMPTIVE_GENERATION."""
    filler_after: Annotated[float, Field(gt=0, le=600, strict=True)] | None = None
    """Seconds without a word of a reply before a short filler is spoken. Not set: FILLER_AFTER."""

    fillers: Annotated[
        dict[_Language, Annotated[tuple[_Word, ...], Field(min_length=1, max_length=20)]],
        Field(max_length=20),
    ] = Field(default_factory=dict)
    """Fillers by language. Not set: those of PHRASES_FILE for the language."""

    # Models and tools.
    pool: Annotated[_Word, Field(max_length=100)] | None = None
    """Pool of the connections that answer. Not set: those of every pool."""
    policy: Annotated[_Word, Field(max_length=100)] | None = None
    """Policy that ranks them. Not set: ROUTER_POLICY."""
    tools: (
        Annotated[tuple[_ToolName, ...], Field(max_length=50), AfterValidator(_differing)] | None
    ) = None
    """Names of the built-in tools that it may use. Not set: the usual ones."""

    http_tools: Annotated[tuple[HttpTool, ...], Field(max_length=50), AfterValidator(_named)] = ()
    """Tools that are one HTTP request each."""
    mcp_servers: Annotated[tuple[McpServer, ...], Field(max_length=20), AfterValidator(_named)] = ()
    """Servers that speak MCP, and the tools of theirs that it may use."""

    # Limits.
    max_seconds: _Seconds | None = None
    """Length (s) of a call; then it is ended kindly. 0: unlimited. Not set: CALL_MAX_SECONDS."""
    idle_after: _Seconds | None = None
    """Seconds of silence after which a caller is asked whether they are still there. 0: never. Not
    set: CALL_SILENCE."""
    idle_questions: Annotated[int, Field(ge=0, le=10, strict=True)] | None = None
    """Times that a silent caller is asked before the call is ended. Not set: 2."""

    # Storage of calls.
    keep: Keep | None = None
    """The part of its calls that stays stored: nothing, its facts, or its transcript as well. Not
    set: CALL_RETENTION."""
    keep_days: Annotated[int, Field(ge=1, le=3650, strict=True)] | None = None
    """Days for which it is stored, at most CALL_DAYS. Not set: CALL_DAYS."""
    redact_card_numbers: Annotated[bool, Field(strict=True)] | None = None
    """Store none of the digits of what may be a card number. Not set:
    REDACT_CARD_NUMBERS."""

    @model_validator(mode="after")
    def _delays_are_in_order(self) -> Self:
        low, high = self.endpointing_min_delay, self.endpointing_max_delay
        if low is not None and high is not None and low > high:
            raise ValueError("endpointing_min_delay must not be above endpointing_max_delay")
        return self


def parse_assistant(values: Mapping[str, Any]) -> AssistantRecord:
    """Makes a record of plain values. Raises ConfigurationError, which names the assistant, the
    field and the fault, and no value: some are secret.
    """
    given = values.get("name")
    name = given if isinstance(given, str) else ""
    if not is_within(values, values=_MAX_VALUES):
        raise ConfigurationError(
            f"assistant {name[:64]!r}: must have at most {_MAX_VALUES:,} values"
        )
    try:
        return AssistantRecord.model_validate(values)
    except ValidationError as error:
        # Not chained: the cause would hold the values.
        raise ConfigurationError(f"assistant {name[:64]!r}: {explain(error)}") from None
