"""Tests when a call changes its language with its caller, and what is said of that to the model."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.agents import llm

from agent.languages import CallLanguages, LanguageRule
from agent.speech.plugin_languages import several_languages
from agent.speech.stt import STTOptions
from agent.speech.voices import Voices, add_voices
from agent.stt import missing_languages
from llm_router.errors import ConfigurationError
from tests.scenarios.test_voiced_history import SteadyTTS

LANGUAGES = ("en", "de", "pt-BR")
SHORT, LONG = 12, 40
"""Characters of a turn that changes nothing by itself, and of one that does."""


def after(*turns: tuple[str, int], usable: tuple[str, ...] = LANGUAGES) -> str:
    """Returns the language after turns of one transcript each."""
    rule = LanguageRule(LANGUAGES)
    for turn in turns:
        rule.turn([turn], usable)
    return rule.current


@pytest.mark.parametrize(
    ("turns", "language"),
    [
        ([], "en"),
        ([("de", SHORT)], "en"),
        ([("de", SHORT), ("de", SHORT)], "de"),
        ([("de", LONG)], "de"),
        ([("de", SHORT), ("en", SHORT), ("de", SHORT)], "en"),
        ([("de", SHORT), ("pt", SHORT), ("de", SHORT)], "en"),
        ([("de", SHORT), ("", LONG), ("de", SHORT)], "de"),
        ([("de", SHORT), ("de", 2)], "en"),
        ([("de", SHORT), ("en", 2), ("de", SHORT)], "de"),
        ([("ja", LONG), ("ja", LONG)], "en"),
        ([("pt-PT", LONG)], "pt-BR"),
        ([("german", LONG)], "de"),
        ([("de", LONG), ("en-US", SHORT), ("en-US", SHORT)], "en"),
    ],
)
def test_two_turns_or_a_long_one_change_the_language(
    turns: list[tuple[str, int]], language: str
) -> None:
    assert after(*turns) == language


def test_a_turn_in_two_languages_changes_nothing() -> None:
    rule = LanguageRule(LANGUAGES)
    assert rule.turn([("de", LONG), ("en", LONG)], LANGUAGES) == "en"
    assert rule.turn([("de", LONG), ("en", 3)], LANGUAGES) == "de"


def test_a_language_that_the_agent_cannot_speak_is_not_taken() -> None:
    assert after(("de", LONG), usable=("en",)) == "en"


@given(st.lists(st.tuples(st.sampled_from([*LANGUAGES, "", "ja"]), st.integers(0, 60))))
def test_the_language_is_always_one_of_the_call_and_never_flaps_with_short_turns(
    turns: list[tuple[str, int]],
) -> None:
    rule = LanguageRule(LANGUAGES)
    for turn in turns:
        before = rule.current
        now = rule.turn([turn], LANGUAGES)
        assert now in LANGUAGES
        if now != before:
            assert now == turn[0]
    alternating = [("de" if at % 2 else "en", SHORT) for at in range(20)]
    assert after(*alternating) == "en"


class Session:
    def __init__(self) -> None:
        self.says: Any = None

    def on(self, _: str, listener: Any) -> None:
        self.says = listener

    def transcribe(self, language: str | None, text: str, *, is_final: bool = True) -> None:
        self.says(SimpleNamespace(language=language, transcript=text, is_final=is_final))


def test_everything_that_speaks_follows_the_caller_and_one_line_says_so_to_the_model() -> None:
    languages = CallLanguages(LanguageRule(LANGUAGES), lambda: LANGUAGES)
    speaker, session = SimpleNamespace(language=""), Session()
    languages.tell(speaker)
    languages.follow(session)  # type: ignore[arg-type]  # the part that it uses
    history = llm.ChatContext(
        [
            llm.ChatMessage(role="system", content=["Be brief."]),
            llm.ChatMessage(role="user", content=["Hallo"]),
        ]
    )
    assert languages.instruct(history) is history
    session.transcribe("de", "Sprechen Sie")
    session.transcribe("de", "Sprechen Sie auch Deutsch, oder nur", is_final=False)
    session.transcribe("de", "auch Deutsch, oder nur Englisch?")
    assert languages.turn_ended()
    assert speaker.language == "de"
    messages = languages.instruct(languages.instruct(history)).messages()
    assert [message.text_content for message in messages] == [
        "Be brief.\n\nThe caller speaks German (de) now: answer in that language.",
        "Hallo",
    ]
    assert history.messages()[0].text_content == "Be brief."
    assert not languages.turn_ended()
    session.transcribe("en", "No, let us go on in English, I think.")
    assert languages.turn_ended()
    assert "English (en) now" in str(languages.instruct(history).messages()[0].text_content)


def test_an_engine_that_reports_no_language_changes_nothing() -> None:
    languages = CallLanguages(LanguageRule(LANGUAGES), lambda: LANGUAGES)
    session = Session()
    languages.follow(session)  # type: ignore[arg-type]  # the part that it uses
    session.transcribe(None, "Sprechen Sie auch Deutsch, oder nur Englisch?")
    assert not languages.turn_ended()


def test_the_agent_that_takes_a_call_over_goes_on_in_its_language() -> None:
    languages = CallLanguages(LanguageRule(LANGUAGES, "de"))
    speaker = SimpleNamespace(language="")
    languages.tell(speaker)
    assert speaker.language == "de"
    messages = languages.instruct(llm.ChatContext.empty()).messages()
    assert "German" in str(messages[0].text_content)


# ── Voices and recognisers ───────────────────────────────────────────────────────────────────────


async def test_each_language_has_its_voice_and_one_without_has_the_usual(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed: list[str] = []

    class Voice(SteadyTTS):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        @property
        def model(self) -> str:
            return self.name

        async def aclose(self) -> None:
            closed.append(self.name)

    def missing() -> Voice:
        raise ConfigurationError("no Piper voice speaks 'pt-BR'")

    voices = Voices("en", Voice("joe"))
    await add_voices(voices, {"pt-BR": missing, "de": lambda: Voice("thorsten")})
    assert "callers cannot change to 'pt-BR': no Piper voice" in caplog.text
    assert set(voices.languages) == {"en", "de"}
    spoken = []
    for voices.language in ("en", "de", "pt-BR"):
        spoken.append(voices.model)
    assert spoken == ["joe", "thorsten", "joe"]
    await voices.aclose()
    assert closed == ["joe", "thorsten"]


def test_a_plugin_gets_several_languages_in_its_own_words() -> None:
    def arguments(plugin: str, *others: str) -> Any:
        return several_languages(STTOptions(language="en", others=others, plugin=plugin))

    assert arguments("deepgram", "de") == {"language": "multi"}
    assert arguments("azure", "de") == {"language": ["en", "de"]}
    assert arguments("deepgram") == {}
    assert arguments("speechmatics", "de") == {}


@pytest.mark.parametrize(
    ("engine", "model", "missing"),
    [
        ("openai", "", "de"),
        ("openai", "whisper-1", ""),
        ("livekit_plugin:deepgram", "", ""),
        ("livekit_plugin:speechmatics", "", "de"),
        ("embedded", "", "de"),
    ],
)
def test_an_engine_names_the_languages_that_it_does_not_report(
    engine: str, model: str, missing: str
) -> None:
    found = missing_languages(engine, STTOptions(language="en", others=("de",), model=model))
    assert ",".join(found) == missing
    assert all("report" in reason for reason in found.values())
