"""Stands for a call process: holds what one holds, transcribes and speaks once, then waits.

Run with `shared` it asks the speech process for both, with `own` it has the models itself.
"""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import numpy as np

from agent import job, stt, tts
from agent.session import TurnOptions, load_vad
from agent.speech.process.client import SpeechClient
from agent.speech.process.models import RATE, Recogniser, Voice, load_model
from agent.speech.stt import STTOptions
from agent.speech.tts import TTSOptions
from bench.speech_process.models import model_names
from tests.sounds.samples import read_sound

READY = "ready"
TEXT = "Yes, we are open until seven this evening."
CLIPS = Path(__file__).parents[2] / "tests" / "sounds" / "people"
_THREADS = 2


def clip() -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Reads three seconds of a person's speech."""
    return read_sound(min(CLIPS.glob("*.opus")))[: 3 * RATE]


async def ask() -> None:
    """Asks the speech process once for words and once for sound."""
    recogniser, voice = map(SpeechClient, model_names())
    await recogniser.transcribe(clip(), timeout=30)
    async with aclosing(voice.speak(TEXT, timeout=30)) as sound:
        assert [piece async for piece in sound]
    await recogniser.aclose()
    await voice.aclose()


def work() -> list[Recogniser | Voice]:
    """Loads the models, uses each once, and returns them."""
    models = [load_model(name, threads=_THREADS) for name in model_names()]
    for model in models:
        if hasattr(model, "decode"):
            model.decode(clip(), language="en", before="")
        else:
            assert [*model.speak(TEXT, speed=1.0)]
    return models


def main() -> None:
    held: list[object] = [
        job,  # with all that a call process imports
        load_vad(TurnOptions()),
        stt.ENGINES.load("embedded")(STTOptions(is_spare=True)),
        tts.ENGINES.load("embedded")(TTSOptions(is_spare=True)),
    ]
    if sys.argv[1] == "own":
        held += work()
    else:
        asyncio.run(ask())
    print(READY, flush=True)
    sys.stdin.read()
    held.clear()


if __name__ == "__main__":
    main()
