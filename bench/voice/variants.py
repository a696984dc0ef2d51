"""The variants of a conversation that this bench compares."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent.session import TurnOptions

GREETING = "Hello."
ANSWER = "We open at nine, every day."
"""The model's answer to every question; a token a word."""
FIRST_TOKEN = 0.15
"""Seconds to the model's first token."""
GAP = 0.02
"""Seconds between two tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The settings of a conversation.

    `stt`, `tts`: the speech engines.
    `stock`: LiveKit's own turn handling, without its cloud; otherwise `build_session` with `turns`.
    `whole`: the recogniser waits for the end of an utterance. `early_words`: it emits its words as
    soon as the caller pauses. `early_voice`: the answer is turned into sound while the end of the
    turn is still being decided. `spare`: there is a second model server, behind our router, or with
    `stock` behind LiveKit's FallbackAdapter.
    """

    name: str
    title: str
    stt: str = "whisper"
    tts: str = "piper"
    stock: bool = False
    whole: bool = False
    early_words: bool = True
    early_voice: bool = True
    spare: bool = False
    turns: TurnOptions = field(default_factory=TurnOptions)
    frame_ms: int = 20


OURS = Variant(name="ours", title="ours")
STOCK = Variant(
    name="stock",
    title="LiveKit's defaults, whole utterances",
    stock=True,
    whole=True,
    early_words=False,
    frame_ms=50,
)
STOCK_STREAMING = replace(
    STOCK, name="stock_streaming", title="LiveKit's defaults, streaming", whole=False
)
VARIANTS = (
    STOCK,
    STOCK_STREAMING,
    OURS,
    replace(
        OURS,
        name="embedded",
        title="ours, pocketsphinx and espeak-ng",
        stt="embedded",
        tts="embedded",
    ),
    replace(OURS, name="no_early_words", title="ours, no early words", early_words=False),
    replace(
        OURS,
        name="no_preemption",
        title="ours, no preemptive generation",
        turns=TurnOptions(preemptive=False),
    ),
    replace(OURS, name="no_early_voice", title="ours, no preemptive voice", early_voice=False),
    replace(
        OURS,
        name="stock_delays",
        title="ours, LiveKit's delays (0.3 to 2.5 s)",
        turns=TurnOptions(min_delay=0.3, max_delay=2.5),
    ),
    replace(
        OURS,
        name="sound_alone",
        title="ours, the sound alone ends turns",
        turns=TurnOptions(heeds_words=False),
    ),
    replace(OURS, name="frames_50", title="ours, frames of 50 ms", frame_ms=50),
    replace(
        OURS,
        name="more_patience",
        title="ours, up to 1.5 s of delay",
        turns=TurnOptions(max_delay=1.5),
    ),
    replace(
        OURS,
        name="silence_only",
        title="ours, silence alone (short commands)",
        turns=TurnOptions(detection="vad", min_silence=0.2, min_delay=0.0, max_delay=1.0),
    ),
)
OURS_FAILING = replace(OURS, name="ours_failing", spare=True)
STOCK_FAILING = replace(
    STOCK_STREAMING, name="stock_failing", title="LiveKit's defaults, FallbackAdapter", spare=True
)
ENGINES: Sequence[tuple[str, str]] = sorted({(one.stt, one.tts) for one in VARIANTS})
"""The recognisers and voices that calls of this bench use together."""
NAMES: Sequence[str] = tuple(one.name for one in VARIANTS)
_BY_NAME = {one.name: one for one in (*VARIANTS, OURS_FAILING, STOCK_FAILING)}


def room_name(variant: Variant, call: int) -> str:
    """Returns a room's name, which carries the variant for the worker."""
    return f"{variant.name}-{call}"


def variant_of(room: str) -> Variant:
    return _BY_NAME[room.rpartition("-")[0]]
