"""Speaks with espeak-ng, whose library is in a wheel: no key, no download and no network.

It sounds like a robot and has its first sound ready in under a millisecond.
"""

import asyncio
import ctypes
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from livekit.agents import APIConnectOptions, APIError, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.utils import shortuuid

from agent.speech.spoken_text import spoken_text
from agent.speech.tts import TTSOptions
from agent.speech.voice import current_reply
from llm_router.errors import ConfigurationError

try:
    import espeakng_loader  # type: ignore[import-untyped]  # ships no types
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "TTS engine 'embedded' needs espeakng-loader: run make setup"
    ) from missing

_VOICES = {"en": "en-us", "no": "nb", "zh": "cmn"}
"""espeak-ng's names of languages whose tag differs."""
_WORDS_PER_MINUTE = 165
_PITCH = 45
"""Slower and lower than espeak-ng's defaults, 175 and 50: easier to follow on a telephone."""

# Constants of espeak-ng's speak_lib.h
_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_UTF8 = 1
_END_PAUSE = 0x1000
_PARAMETER_RATE = 1
_PARAMETER_PITCH = 3
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def create(options: TTSOptions) -> "EmbeddedTTS":
    """Makes an engine with the named voice, or with one for the language.

    The first in a process takes 30 ms. Raises ConfigurationError if espeak-ng has no such voice.
    """
    espeak = _espeak()
    tag = options.language.lower()
    language = tag.split("-")[0]
    by_language = _VOICES.get(tag, tag), _VOICES.get(language, language)
    for voice in (options.voice,) if options.voice else by_language:
        if espeak.thread.submit(espeak.choose, voice).result():
            spoken_text("", options.language)  # builds its rules: no caller waits for them
            return EmbeddedTTS(espeak, voice, options)
    if options.voice:
        raise ConfigurationError(
            f"TTS engine 'embedded' has no voice {options.voice!r}: leave TTS_VOICE empty for that"
            " of AGENT_LANGUAGE, or give a name of espeak-ng's, such as en-gb"
        )
    raise ConfigurationError(
        f"TTS engine 'embedded' does not speak {options.language!r}: set AGENT_LANGUAGE to a"
        " language of espeak-ng's, or choose another TTS_ENGINE"
    )


class Espeak:
    """Wraps the library. Its state belongs to the process, so one thread makes every call."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.sample_rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 60, data, _DONT_EXIT)
        if self.sample_rate <= 0:
            raise ConfigurationError(
                "espeak-ng does not start: its data is missing or damaged; run `make setup` again"
            )
        self._take: Callable[[bytes], bool] = lambda _: False
        self._callback = _Callback(self._on_samples)  # the library holds only its address
        self._library.espeak_SetSynthCallback(self._callback)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="espeak-ng")

    def choose(self, voice: str, speed: float = 1.0) -> bool:
        """Selects a voice for all later calls; returns False if there is no such voice."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            return False
        self._library.espeak_SetParameter(_PARAMETER_RATE, round(_WORDS_PER_MINUTE * speed), 0)
        self._library.espeak_SetParameter(_PARAMETER_PITCH, _PITCH, 0)
        return True

    def say(self, text: str, voice: str, take: Callable[[bytes], bool], speed: float = 1.0) -> None:
        """Calls `take` with 16-bit mono samples, 60 ms at a time, until it returns False.

        The sound ends with the pause of the last punctuation mark, so clauses spoken one by one
        sound like the whole sentence. Raises RuntimeError if espeak-ng fails.
        """
        raw = text.encode("utf-8", "ignore") + b"\0"
        if not self.choose(voice, speed):
            raise RuntimeError(f"espeak-ng lost the voice {voice!r}")
        self._take = take
        failed = self._library.espeak_Synth(
            raw, ctypes.c_size_t(len(raw)), 0, 1, 0, _UTF8 | _END_PAUSE, None, None
        )
        if failed:
            raise RuntimeError(f"espeak-ng failed with {failed}")

    def _on_samples(self, samples: Any, count: int, _events: object) -> int:
        if not samples or count <= 0:
            return 0
        return 0 if self._take(ctypes.string_at(samples, count * 2)) else 1


_starting = threading.Lock()
_start = functools.cache(Espeak)


def _espeak() -> Espeak:
    with _starting:  # the cache alone would let two threads start it twice
        return _start()


class EmbeddedTTS(tts.TTS[Any]):
    """TTS that takes whole texts; `StreamingTTS` makes a stream of it."""

    def __init__(self, espeak: Espeak, voice: str, options: TTSOptions) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=False),
            sample_rate=espeak.sample_rate,
            num_channels=1,
        )
        self.espeak = espeak
        self.voice = voice
        self.speed = options.speed
        self.language = options.language

    @property
    def model(self) -> str:
        return "espeak-ng"

    @property
    def provider(self) -> str:
        return "embedded"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _Speech(self, text, conn_options)


class _Speech(tts.ChunkedStream):
    def __init__(self, engine: EmbeddedTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=engine, input_text=text, conn_options=conn_options)
        self._espeak = engine.espeak
        self._voice = engine.voice
        self._speed = engine.speed
        self._language = engine.language

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        """Synthesizes the text. Cancelled, it returns at once; the thread stops within 60 ms."""
        output_emitter.initialize(
            request_id=shortuuid(),
            sample_rate=self._espeak.sample_rate,
            num_channels=1,
            mime_type="audio/pcm",
            frame_size_ms=20,
        )
        loop = asyncio.get_running_loop()
        reply = current_reply()
        cancelled = threading.Event()

        def speak() -> None:
            text = spoken_text(self._input_text, self._language)
            self._espeak.say(text, self._voice, take, self._speed)

        def take(samples: bytes) -> bool:
            if cancelled.is_set():
                return False
            loop.call_soon_threadsafe(push, samples)
            return True

        def push(samples: bytes) -> None:
            output_emitter.push(samples)
            reply.add(len(samples) / 2 / self._espeak.sample_rate, loop.time())

        try:
            await loop.run_in_executor(self._espeak.thread, speak)
        except RuntimeError as failure:
            raise APIError(str(failure)) from failure
        finally:
            cancelled.set()
        output_emitter.flush()
