"""Why an engine failed is one sentence, which names a setting and shows no key."""

import pytest
from livekit.agents import APIConnectionError, APIError, APIStatusError, APITimeoutError

from agent.speech.engine import EngineOptions, without_secrets
from agent.speech.process.client import SpeechAwayError, SpeechLateError
from agent.speech.stt import STTOptions
from agent.speech.trial import explain
from agent.speech.tts import TTSOptions

KEY = "sk-a-key-of-mine"
SERVER = TTSOptions(base_url="http://127.0.0.1:9/v1", api_key=KEY)
VENDOR = STTOptions(plugin="deepgram", api_key=KEY)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class HandshakeError(Exception):
    status = 403


@pytest.mark.parametrize(
    ("error", "options", "sentence"),
    [
        (
            APIStatusError("no", status_code=401),
            SERVER,
            "its server refuses the key (401); check TTS_API_KEY",
        ),
        (
            caused(APIConnectionError(), HandshakeError()),
            VENDOR,
            "its server refuses the key (403); check STT_API_KEY, or the vendor's own variable",
        ),
        (
            caused(APIConnectionError(), ConnectionRefusedError()),
            SERVER,
            "its server cannot be reached; check that it runs, and TTS_BASE_URL",
        ),
        (
            APIConnectionError("ClientConnectorDNSError"),
            VENDOR,
            "its server cannot be reached; check that it runs, and this machine's network",
        ),
        (
            caused(APIConnectionError("ClientConnectorDNSError"), StopAsyncIteration()),
            VENDOR,
            "its server cannot be reached; check that it runs, and this machine's network",
        ),
        (
            APITimeoutError(),
            SERVER,
            "its server gave nothing in time; check that it works, and TTS_BASE_URL",
        ),
        (
            caused(
                APIConnectionError("it failed after 0 attempts"),
                caused(
                    SpeechAwayError("the speech process does not start: download it again"),
                    FileNotFoundError(),
                ),
            ),
            TTSOptions(),
            "the speech process does not start: download it again",
        ),
        (
            caused(SpeechLateError("the speech process gave nothing in time"), TimeoutError()),
            STTOptions(),
            "the speech process gave nothing in time",
        ),
        (
            TimeoutError(),
            VENDOR,
            "its server gave nothing in time; check that it works, and this machine's network",
        ),
        (
            APIStatusError(f"no model x for {KEY}\nmore", status_code=404),
            SERVER,
            "no model x for ...; check that its server works, and the TTS_ settings",
        ),
        (
            APIError("no audio frames were pushed"),
            SERVER,
            "no audio frames were pushed; check that its server works, and the TTS_ settings",
        ),
        (KeyError(), VENDOR, "KeyError; check that its server works, and the STT_ settings"),
    ],
)
def test_a_failure_is_one_sentence(error: Exception, options: EngineOptions, sentence: str) -> None:
    assert explain(error, options) == sentence


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "401, url='wss://a.example/v1?api_key=abc&x=1' refused",
            "401, url='wss://a.example/v1' refused",
        ),
        (f"Token {KEY} is unknown", "Token ... is unknown"),
        ("Which voice? None.", "Which voice? None."),
        ("first\nsecond", "first"),
        ("", ""),
    ],
)
def test_a_vendors_message_is_shown_without_keys(message: str, shown: str) -> None:
    assert without_secrets(message, SERVER) == shown


def test_a_short_key_is_no_secret_but_may_be_a_word() -> None:
    assert without_secrets("the key is missing", TTSOptions(api_key="key")) == "the key is missing"
