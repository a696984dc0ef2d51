"""The source of a LiveKit plugin, `livekit.plugins.parrot`, that behaves as those of vendors do.

It reads its key from the environment, its `prewarm` needs a running event loop, and the main thread
alone can import it.
"""

from pathlib import Path

_SOURCE = """
import asyncio
import os

from livekit import rtc
from livekit.agents import Plugin, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN

Plugin.register_plugin(Plugin("livekit.plugins.parrot", "1.0", "livekit.plugins.parrot"))


class _Warm:
    def __init__(self, api_key):
        if not (api_key or os.environ.get("PARROT_API_KEY")):
            raise ValueError("Parrot API key is required, or set PARROT_API_KEY.")
        self._warming = None

    def prewarm(self):
        self._warming = asyncio.create_task(asyncio.Event().wait())

    async def aclose(self):
        if self._warming:
            self._warming.cancel()
            await asyncio.wait({self._warming})


class TTS(_Warm, tts.TTS):
    def __init__(self, *, api_key=None):
        _Warm.__init__(self, api_key)
        can = tts.TTSCapabilities(streaming=True)
        tts.TTS.__init__(self, capabilities=can, sample_rate=16000, num_channels=1)

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        raise NotImplementedError

    def stream(self, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return _Speech(tts=self, conn_options=conn_options)


class _Speech(tts.SynthesizeStream):
    async def _run(self, output_emitter):
        output_emitter.initialize(
            request_id="1", sample_rate=16000, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id="1")
        async for _ in self._input_ch:
            output_emitter.push(bytes(16000))
        output_emitter.end_input()


class STT(_Warm, stt.STT):
    def __init__(self, *, api_key=None):
        _Warm.__init__(self, api_key)
        can = stt.STTCapabilities(streaming=True, interim_results=False)
        stt.STT.__init__(self, capabilities=can)

    async def _recognize_impl(self, buffer, *, language=NOT_GIVEN, conn_options):
        raise NotImplementedError

    def stream(self, *, language=NOT_GIVEN, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return _Hearing(stt=self, conn_options=conn_options)


class _Hearing(stt.RecognizeStream):
    async def _run(self):
        async for _ in self._input_ch:
            pass
        heard = stt.SpeechData(language="en", text="hello")
        kind = stt.SpeechEventType.FINAL_TRANSCRIPT
        self._event_ch.send_nowait(stt.SpeechEvent(type=kind, alternatives=[heard]))
"""


def install_plugin(folder: Path) -> None:
    """Writes the plugin below a folder of PYTHONPATH."""
    package = folder / "livekit" / "plugins" / "parrot"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(_SOURCE)
