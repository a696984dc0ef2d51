"""The audio side of a faulty server: it speaks in tones and transcribes whatever it receives."""

import io
import math
import sys
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from llm_router.testing._http import Request, Wire

RATE = 24_000
"""Samples a second; also what OpenAI's raw `pcm` has."""
_TONE = 0.18  # s
_PAUSE = 0.07  # s
_PITCHES = (220.0, 277.0, 330.0, 247.0)  # Hz
_LOUDNESS = 8000


@dataclass
class SpeechSide:
    """The state behind OpenAI's /audio/speech and /audio/transcriptions."""

    spoken: list[str] = field(default_factory=list)
    """Texts that it was asked to speak."""
    recording: bytes = b""
    """WAV file to answer in place of tones, which are no speech to a voice activity detector."""
    transcript: str = "hello"
    """Transcript of any recording."""
    status: int = HTTPStatus.OK
    """HTTP status of its answers; any but 200 comes with an error in place of sound or words."""

    async def answer(self, request: Request, wire: Wire) -> None:
        """Answers one request below /audio."""
        route = request.path.partition("?")[0].rpartition("/")[2]
        if route not in {"speech", "transcriptions"}:
            error = {"message": "no such route", "code": "not_found"}
            await wire.send_json(HTTPStatus.NOT_FOUND, {"error": error})
        elif self.status != HTTPStatus.OK:
            error = {"message": "refused", "code": str(self.status)}
            await wire.send_json(self.status, {"error": error})
        elif route == "transcriptions":
            await wire.send_json(HTTPStatus.OK, {"text": self.transcript})
        else:
            asked = request.json()
            text = str(asked.get("input", ""))
            self.spoken.append(text)
            samples = _tones(text.split())
            if asked.get("response_format") == "pcm":
                await wire.send_bytes(samples, "audio/pcm")
            else:
                await wire.send_bytes(self.recording or _wav(samples), "audio/wav")


def _tones(words: Sequence[str]) -> bytes:
    """Returns a short tone and a pause for each word: 16-bit samples, one channel, at RATE."""
    pause = bytes(2 * int(_PAUSE * RATE))
    return b"".join(_tone(_PITCHES[n % len(_PITCHES)]) + pause for n in range(len(words)))


def _tone(pitch: float) -> bytes:
    step = 2 * math.pi * pitch / RATE
    samples = array("h", (int(_LOUDNESS * math.sin(step * k)) for k in range(int(_TONE * RATE))))
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def _wav(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, RATE, 0, "NONE", ""))
        wav.writeframes(samples)
    return file.getvalue()
