"""Defines the requests of the speech process, which its client and its server share."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from agent.speech.process.models import RATE

MOST_SECONDS = 30
"""Length of the audio of one request (s)."""
MOST_CHARACTERS = 2_000
"""Length of a text to speak, and of the words before some audio."""
MOST_AHEAD = 1.0
"""Seconds of sound in advance that count: LiveKit waits no more than 3 s for the next piece."""
_MOST_LANGUAGES = 20
MOST_BYTES = MOST_SECONDS * RATE * 2 + 4 * MOST_CHARACTERS + 4_096
"""Size of the body of a request."""
SAMPLE_RATE = "sample-rate"
"""Header of an answer that is sound: its samples a second."""


class MalformedError(ValueError):
    """Raised for a request that cannot be read; says what is wrong with it, without its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeRequest:
    """The first line of the body, as JSON; mono 16-bit samples at 16 kHz follow it."""

    model: str
    urgency: Literal["final", "interim"]
    language: str = "en"
    before: str = ""
    among: tuple[str, ...] = ()

    def body(self, samples: bytes) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n" + samples

    @classmethod
    def parse(cls, body: bytes) -> "tuple[TranscribeRequest, bytes]":
        """Returns the request and its samples. Raises MalformedError."""
        head, _, samples = body.partition(b"\n")
        data = _object(head)
        urgency = data.get("urgency")
        if urgency not in ("final", "interim"):
            raise MalformedError("urgency must be final or interim")
        if not samples or len(samples) % 2 or len(samples) > MOST_SECONDS * RATE * 2:
            raise MalformedError(f"audio must be 16-bit samples of at most {MOST_SECONDS} s")
        request = cls(
            model=_text(data, "model"),
            urgency=urgency,
            language=_text(data, "language"),
            before=_text(data, "before"),
            among=_languages(data),
        )
        return request, samples


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakRequest:
    """The body, as JSON; the answer is mono 16-bit samples."""

    model: str
    text: str
    speed: float = 1.0
    silent_in: float = 0.0
    """Seconds of the reply's sound before it that are yet to be played: so long it may wait."""

    def body(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def parse(cls, body: bytes) -> "SpeakRequest":
        """Raises MalformedError."""
        data = _object(body)
        speed = data.get("speed", 1.0)
        if not isinstance(speed, int | float) or not 0.25 <= speed <= 4:  # noqa: PLR2004  as OpenAI's audio API
            raise MalformedError("speed must be between 0.25 and 4")
        silent_in = data.get("silent_in", 0.0)
        if not isinstance(silent_in, int | float) or not 0 <= silent_in <= MOST_AHEAD:
            raise MalformedError(f"silent_in must be between 0 and {MOST_AHEAD:g} s")
        return cls(
            model=_text(data, "model"),
            text=_text(data, "text"),
            speed=speed,
            silent_in=silent_in,
        )


def _object(text: bytes) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise MalformedError("the request is not JSON") from None
    if not isinstance(data, dict):
        raise MalformedError("the request is not a JSON object")
    return data


def _languages(data: dict[str, Any]) -> tuple[str, ...]:
    among = data.get("among", [])
    if not isinstance(among, list) or len(among) > _MOST_LANGUAGES:
        raise MalformedError(f"among must be a list of at most {_MOST_LANGUAGES} languages")
    return tuple(_text({"among": language}, "among") for language in among)


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        raise MalformedError(f"{name} must be a text of at most {MOST_CHARACTERS:,} characters")
    return value.encode("utf-8", "ignore").decode()  # without halves of characters
