"""Every speech engine works in a call's own process, started as the worker does.

The process that dies, and the engine that fails, are reported once and in one sentence.
"""

import asyncio
import io
import json
import os
import sys
import wave
from pathlib import Path

import pytest

from agent import stt, tts
from agent.speech.models import default_folder
from agent.speech.stt import STTOptions
from agent.speech.tts import TTSOptions
from agent.worker import CAME_UP, PRELOADED
from llm_router.errors import ConfigurationError
from llm_router.testing.server import FaultyServer
from tests.contracts.stt_sentences import RATE, samples
from tests.contracts.talking_plugin import install_plugin
from tests.contracts.test_worker_start import SECRET, settings_of

KEY = "sk-a-key-of-a-vendor"


def recording() -> bytes:
    """Makes a WAV file of a spoken sentence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, RATE, 0, "NONE", ""))
        wav.writeframes(samples("what_time"))
    return file.getvalue()


async def run(folder: Path, command: str, **settings: str) -> tuple[int | None, str]:
    """Runs the worker's command in a folder of its own; returns its status and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.worker", command),
        cwd=folder,
        env={**settings_of(folder), **settings},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    text = out.decode()
    assert SECRET not in text
    assert KEY not in text
    return process.returncode, text


def complaints(text: str) -> list[str]:
    """Returns the warnings and errors of our own log, and lines that are no log at all."""
    lines = [json.loads(line) if line.startswith("{") else line for line in text.splitlines()]
    return [
        line if isinstance(line, str) else line["message"]
        for line in lines
        if isinstance(line, str)
        or (line["level"] in {"WARNING", "ERROR"} and line["name"] in {"agent", "asyncio"})
    ]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", sorted({*stt.ENGINES.names(), *tts.ENGINES.names()}))
async def test_every_engine_speaks_and_hears_in_a_call_process(name: str, tmp_path: Path) -> None:
    install_plugin(tmp_path)
    (tmp_path / ".env").write_text(f"PARROT_API_KEY={KEY}\n")
    engine = f"{name}:parrot" if name == "livekit_plugin" else name
    voice = engine if name in tts.ENGINES.names() else "embedded"
    recogniser = engine if name in stt.ENGINES.names() else "embedded"
    try:
        tts.speech_model(voice, TTSOptions())
        stt.speech_model(recogniser, STTOptions())
    except ConfigurationError as missing:
        pytest.skip(str(missing))
    async with FaultyServer() as server:
        server.speech.recording = recording()
        status, text = await run(
            tmp_path,
            "try",
            TTS_ENGINE=voice,
            STT_ENGINE=recogniser,
            XDG_CACHE_HOME=str(default_folder().parents[1]),
            TTS_BASE_URL=server.base_url,
            STT_BASE_URL=server.base_url,
            PYTHONPATH=os.pathsep.join([settings_of(tmp_path)["PYTHONPATH"], str(tmp_path)]),
        )
    assert (status, complaints(text)) == (0, [CAME_UP])
    used = {path for path, _ in server.other_requests if "/audio/" in path}
    both = {"/v1/audio/speech", "/v1/audio/transcriptions"}
    assert used == (both if name == "openai" else set())


@pytest.mark.timeout(240)
async def test_a_refused_key_is_said_with_its_variable_and_calls_have_the_fallback(
    tmp_path: Path,
) -> None:
    async with FaultyServer() as server:
        server.speech.status = 401
        engines = {"TTS_ENGINE": "openai", "STT_ENGINE": "openai"}
        servers = {"TTS_BASE_URL": server.base_url, "STT_BASE_URL": server.base_url}
        keys = {"TTS_API_KEY": KEY, "STT_API_KEY": KEY}
        status, text = await run(tmp_path, "try", **engines, **servers, **keys)
    assert status == 0
    voice, ear, end = complaints(text)
    assert voice.endswith("its server refuses the key (401); check TTS_API_KEY")
    assert ear.endswith("its server refuses the key (401); check STT_API_KEY")
    assert end == CAME_UP


@pytest.fixture
def phrases(tmp_path: Path) -> Path:
    """A file of phrases in the language xx, which espeak-ng does not know."""
    english = Path(settings_of(tmp_path)["PHRASES_FILE"]).read_text()
    file = tmp_path / "phrases.toml"
    file.write_text(english.replace("[en]", "[xx]", 1))
    return file


@pytest.mark.timeout(240)
async def test_a_worker_without_any_voice_ends_and_says_why_once(
    tmp_path: Path, phrases: Path
) -> None:
    status, text = await run(
        tmp_path,
        "start",
        AGENT_LANGUAGE="xx",
        PHRASES_FILE=str(phrases),
        TTS_ENGINE="openai",
        TTS_BASE_URL="http://127.0.0.1:9/v1",
        STT_ENGINE="openai",
        STT_BASE_URL="http://127.0.0.1:9/v1",
    )
    assert status == 2
    assert text.count("makes no sound: its server cannot be reached") == 1
    assert "Traceback" not in text
    assert "TTS_BASE_URL" in text.splitlines()[-1]


async def test_a_plugin_without_its_key_says_which_variable_holds_it(tmp_path: Path) -> None:
    install_plugin(tmp_path)
    path = os.pathsep.join([settings_of(tmp_path)["PYTHONPATH"], str(tmp_path)])
    status, text = await run(tmp_path, "try", TTS_ENGINE="livekit_plugin:parrot", PYTHONPATH=path)
    assert status == 2
    (sentence,) = complaints(text)
    assert sentence == (
        "TTS engine 'livekit_plugin:parrot' cannot start: Parrot API key is required, or set"
        " PARROT_API_KEY; TTS_API_KEY is its key here"
    )


IMPORTS = """
import importlib, sys, threading
import livekit.agents.ipc._preload, livekit.agents.ipc.job_proc_lazy_main
for name in sys.argv[1:]:
    importlib.import_module(name)
known = set(sys.modules)
import agent.worker
others = [name for name in set(sys.modules) - known if not name.startswith("agent.")]
print(threading.active_count(), others)
"""


async def test_a_call_process_has_little_to_import_and_is_forked_from_one_without_threads() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", IMPORTS, *PRELOADED), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert out.decode().split("\n")[-2] == "1 []"
