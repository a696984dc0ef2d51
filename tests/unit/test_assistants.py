"""Tests which assistant a call has, and which settings and engines follow from it."""

import asyncio
import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import JobContext
from pydantic import SecretStr

from agent.assistants import KnownAssistants, load_known, refresh
from agent.call_options import (
    all_speech_models,
    import_engines,
    load_other_engines,
    missing_speech,
    needs_other_engines,
    settings_by_language,
    stt_options,
    tts_options,
    turn_options,
)
from agent.call_settings import call_limits, settings_of
from agent.call_start import StartedCall, begin
from agent.dispatch import Dispatch
from agent.phone.setup_file import PhoneFile
from agent.prewarm import JobResources
from agent.session import Engines
from agent.trial_call import TrialCall, dispatch_for, named, trial_of
from config.settings import Settings
from llm_router.connections.access import SYSTEM
from llm_router.errors import ConfigurationError
from llm_router.routing.phrases import Phrases
from llm_router.store.assistants import Assistants
from llm_router.store.crypto import load_vault
from llm_router.store.database import Database
from llm_router.store.migrations import migrate
from llm_router.stored_router import StoreOptions
from llm_router.voice.assistant import AssistantRecord, parse_assistant
from tests.contracts.talking_plugin import install_plugin

SETTINGS = Settings(
    livekit_api_key="key", livekit_api_secret=SecretStr("s" * 32),
    stt_engine="embedded", stt_model="a", tts_engine="embedded", tts_voice="en-us",
)  # fmt: skip
DEFAULT = AssistantRecord(name="default")


def settings_with(**fields: Any) -> Settings:
    return settings_of(SETTINGS, parse_assistant({"name": "shop", **fields}))


@pytest.fixture
def options(tmp_path: Path) -> StoreOptions:
    load_vault((), tmp_path / "master.key", may_create=True)
    return StoreOptions(
        database=f"sqlite:///{tmp_path}/store.sqlite3",
        master_key_file=tmp_path / "master.key",
        connections_file=tmp_path / "none.json",
    )


def test_each_language_of_a_call_has_a_voice_of_its_own() -> None:
    shop = parse_assistant(
        {"name": "shop", "languages": ["en", "de", "fr"], "voices": {"de": "thorsten"}}
    )
    own = settings_of(SETTINGS, shop)
    assert stt_options(own).languages == ("en", "de", "fr")
    by_language = settings_by_language(own, shop)
    voices = [(language, tts_options(one)) for language, one in by_language.items()]
    assert [(language, one.language, one.voice) for language, one in voices] == [
        ("de", "de", "thorsten"),
        ("fr", "fr", ""),
    ]
    assert not settings_by_language(SETTINGS, DEFAULT)
    german = settings_of(SETTINGS, parse_assistant({**shop.model_dump(), "languages": ["de"]}))
    assert tts_options(german).voice == "thorsten"


# ── Which assistant ──────────────────────────────────────────────────────────────────────────────


def test_a_stored_assistant_stands_before_the_file_and_that_before_the_settings() -> None:
    in_file = {"shop": parse_assistant({"name": "shop", "greeting": "file"})}
    stored = {"shop": parse_assistant({"name": "shop", "greeting": "stored"})}
    assert KnownAssistants(in_file, stored).find("shop").greeting == "stored"
    assert KnownAssistants(in_file).find("shop").greeting == "file"
    assert KnownAssistants(in_file, stored).find("") == DEFAULT


async def begun(
    shop: AssistantRecord, options: StoreOptions, folder: Path, trial: str = ""
) -> StartedCall:
    """Begins a call to the shop."""
    settings = SETTINGS.model_copy(
        update={
            "database_url": SecretStr(options.database),
            "encryption_key_file": options.master_key_file,
        }
    )
    resources = JobResources(
        settings=settings,
        engines=cast("Engines", None),  # those of the assistant are the usual ones
        phrases=Phrases(
            {
                "en": {
                    "filler.late": ["Hm."],
                    "greeting": ["Hello."],
                    "unanswered": ["We have a fault here. Goodbye."],
                }
            }
        ),
        instructions="",
        known=cast("Any", None),
        assistants=KnownAssistants({"shop": shop}),
        phone=PhoneFile(folder / "none.toml", {}),
        documents=None,
        tracing=None,
        observers=(),
    )
    ctx = SimpleNamespace(
        job=SimpleNamespace(
            id="AJ_1",
            metadata=Dispatch(assistant="shop", trial=trial).to_metadata(),
            room=SimpleNamespace(sid="RM_1", creation_time=0),
        ),
        room=SimpleNamespace(name="call-1"),
        token_claims=lambda: SimpleNamespace(identity="agent-call-1-1"),
    )
    database = Database(options.database)
    call = await begin(cast("JobContext", ctx), resources, database)
    await database.aclose()
    return call


async def test_a_call_has_the_fillers_of_its_assistant(
    options: StoreOptions, tmp_path: Path
) -> None:
    fillers = {"en": ["Let me see.", "One moment."]}
    shop = parse_assistant({"name": "shop", "fillers": fillers})
    call = await begun(shop, options, tmp_path)
    assert call.resources.phrases.options("filler.late", "en") == ("Let me see.", "One moment.")
    assert call.resources.phrases.pick("greeting", "en", 0) == "Hello."


async def test_a_trial_is_answered_by_what_is_tried_or_by_nothing_that_is_published(
    options: StoreOptions, tmp_path: Path
) -> None:
    shop = parse_assistant({"name": "shop", "instructions": "Published.", "keep": "transcript"})
    vault = load_vault((), tmp_path / "master.key", may_create=False)
    draft = trial_of(parse_assistant({"name": "shop", "instructions": "A draft."}))
    sealed = dispatch_for(draft, "call-1", vault, too_long="").trial
    assert (await begun(shop, options, tmp_path, sealed)).record == draft.record
    odd = TrialCall(assistant={"name": "shop", "of_next_year": True})
    newer = vault.seal(odd.model_dump_json(), bound_to="trial_calls:call-1:dispatch")
    for unreadable in ("sealed under another key", newer):
        call = await begun(shop, options, tmp_path, unreadable)
        record = call.record
        assert (record.instructions, record.tools, record.keep) == ("", (), "facts")
        assert call.settings.agent_greeting == "We have a fault here. Goodbye."
        assert named(call.trial, {"c1": "desk"}) == frozenset()  # no model is asked


def test_an_unknown_name_gets_the_default_one_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    default = parse_assistant({"name": "default", "greeting": "Hi"})
    assert KnownAssistants({"default": default}).find("") == default
    assert not caplog.messages
    assert KnownAssistants({"default": default}).find("shpo") == default
    assert "there is no assistant 'shpo'" in caplog.text


async def test_a_call_has_the_assistant_as_it_is_when_the_call_begins(
    options: StoreOptions, tmp_path: Path
) -> None:
    file = tmp_path / "assistants.toml"
    file.write_text('[desk]\ngreeting = "The desk."\n')
    vault = load_vault((), options.master_key_file, may_create=False)
    database = Database(options.database)
    try:
        await migrate(database)
        store = Assistants(database, vault)
        await store.add(SYSTEM, parse_assistant({"name": "shop", "greeting": "Old."}))
        known = await load_known(options, file, {})
        assert {name: one.greeting for name, one in known.all.items()} == {
            "desk": "The desk.", "shop": "Old.",
        }  # fmt: skip
        assert known.read_in > 0
        await store.change(SYSTEM, "shop", {"greeting": "New."})
        await store.add(SYSTEM, parse_assistant({"name": "desk", "greeting": "Stored."}))
        assert (await refresh(known, database, options, "shop")).find("shop").greeting == "New."
        assert (await refresh(known, database, options, "desk")).find("desk").greeting == "Stored."
        await store.remove(SYSTEM, "shop")
        assert (await refresh(known, database, options, "shop")).find("shop") == DEFAULT
    finally:
        await database.aclose()


async def test_a_database_that_is_away_leaves_what_is_known(
    options: StoreOptions, caplog: pytest.LogCaptureFixture
) -> None:
    shop = parse_assistant({"name": "shop", "greeting": "Known."})
    known = KnownAssistants({}, {"shop": shop})
    away = replace(options, database="postgresql://jo:secret@127.0.0.1:9/store")
    database = Database(away.database)
    assert (await refresh(known, database, away, "shop")).find("shop") == shop
    await database.aclose()
    assert "uses those that it has read before: database postgresql" in caplog.text
    assert "secret" not in caplog.text


async def test_a_database_that_hangs_delays_a_call_by_a_moment_only(
    options: StoreOptions, caplog: pytest.LogCaptureFixture
) -> None:
    closing = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await closing.wait()
        writer.close()

    shop = parse_assistant({"name": "shop", "greeting": "Known."})
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        hanging = replace(options, database=f"postgresql://jo@127.0.0.1:{port}/store")
        database = Database(hanging.database)
        known = await refresh(KnownAssistants({}, {"shop": shop}), database, hanging, "shop")
        closing.set()
        await database.aclose()
    assert "gave no answer in time" in caplog.text
    assert known.find("shop") == shop


def test_a_database_that_is_far_away_is_given_the_time_that_it_takes() -> None:
    waits = [KnownAssistants(read_in=seconds).read_again_within for seconds in (0.01, 0.4, 4.0)]
    assert waits == [0.3, 0.8, 1.0]


async def test_without_file_and_database_there_is_the_default_one_alone(
    options: StoreOptions, tmp_path: Path
) -> None:
    known = await load_known(options, tmp_path / "none.toml", {})
    assert not known.all
    assert Database(options.database).is_missing
    (tmp_path / "bad.toml").write_text("[shop")
    with pytest.raises(ConfigurationError, match=r"bad\.toml: is not valid TOML"):
        await load_known(options, tmp_path / "bad.toml", {})


# ── Its settings ─────────────────────────────────────────────────────────────────────────────────


def test_what_an_assistant_does_not_set_is_the_settings() -> None:
    assert settings_with() == SETTINGS
    assert settings_with(max_seconds=60, greeting="").model_dump() == {
        **SETTINGS.model_dump(),
        "call_max_seconds": 60,
        "agent_greeting": "",
    }


def test_another_engine_gets_no_model_and_no_voice_of_the_usual_one() -> None:
    other = settings_with(stt="openai", tts="openai")
    assert (stt_options(other).model, tts_options(other).voice) == ("", "")
    same = settings_with(stt="embedded", speed=1.5)
    assert (stt_options(same).model, tts_options(same).voice) == ("a", "en-us")
    named = settings_with(stt="openai", stt_model="b", tts="openai", voice="c")
    assert (stt_options(named).model, tts_options(named).voice) == ("b", "c")


def test_another_language_gets_a_voice_of_its_own() -> None:
    german = settings_with(languages=["de", "en"])
    assert (tts_options(german).language, tts_options(german).voice) == ("de", "")
    assert tts_options(settings_with(languages=["en"])).voice == "en-us"


def test_waits_that_do_not_go_together_are_brought_in_order() -> None:
    turns = turn_options(settings_with(vad_min_silence=0.1, endpointing_min_delay=2))
    assert (turns.min_silence, turns.min_delay, turns.max_delay) == (0.25, 2, 2)
    assert turn_options(settings_with(vad_min_silence=0.1, turn_detection="vad")).min_silence == 0.1


def test_an_unknown_policy_is_logged_and_the_usual_one_ranks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert settings_with(policy="fastest").router_policy == SETTINGS.router_policy
    assert "assistant shop: there is no policy 'fastest'" in caplog.text
    assert settings_with(policy="priority").router_policy == "priority"


def test_limits_are_the_assistants() -> None:
    record = parse_assistant({"name": "shop", "idle_after": 20, "idle_questions": 0})
    limits = call_limits(settings_of(SETTINGS, record), record)
    assert (limits.silence, limits.questions) == (20, 0)
    usual = call_limits(SETTINGS, DEFAULT)
    assert (usual.silence, usual.questions) == (60, 2)


def test_models_of_assistants_are_loaded_once_and_a_missing_one_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    records = [
        parse_assistant({"name": "desk", "greeting": "Hi."}),
        parse_assistant({"name": "shop", "tts": "piper", "voice": "/none.onnx"}),
    ]
    assert all_speech_models(SETTINGS, records) == ()
    assert "assistant shop: " in caplog.text
    assert missing_speech(SETTINGS, records[0]) == ""
    assert "none.onnx" in missing_speech(SETTINGS, records[1])


# ── Its engines ──────────────────────────────────────────────────────────────────────────────────


def test_engines_are_loaded_only_where_they_differ() -> None:
    assert not needs_other_engines(settings_with(greeting="Hi", max_seconds=9), SETTINGS)
    assert needs_other_engines(settings_with(speed=1.5), SETTINGS)
    usual: Any = Engines(stt=object(), tts=object(), vad=object())  # type: ignore[arg-type]  # never used
    faster = load_other_engines(settings_with(speed=1.5), SETTINGS, usual)
    assert (faster.stt, faster.vad) == (usual.stt, usual.vad)
    assert faster.tts is not usual.tts


def test_an_engine_that_cannot_work_is_logged_and_the_usual_one_takes_the_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    usual: Any = Engines(stt=object(), tts=object(), vad=object())  # type: ignore[arg-type]  # never used
    wrong = settings_with(stt="whispr", tts="livekit_plugin:nowhere")
    with caplog.at_level(logging.ERROR):
        loaded = load_other_engines(wrong, SETTINGS, usual)
    assert (loaded.stt, loaded.tts) == (usual.stt, usual.tts)
    assert "unknown STT engine 'whispr'" in caplog.text
    assert "livekit-plugins-nowhere" in caplog.text


async def test_a_plugin_is_imported_on_the_main_thread_and_loaded_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install_plugin(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PARROT_API_KEY", "sk-a-key-of-a-vendor")
    usual: Any = Engines(stt=object(), tts=object(), vad=object())  # type: ignore[arg-type]  # never used
    parrot = settings_with(stt="livekit_plugin:parrot")
    too_late = await asyncio.to_thread(load_other_engines, parrot, SETTINGS, usual)
    assert too_late.stt is usual.stt
    assert "stt raised RuntimeError" in caplog.text
    import_engines(parrot)
    loaded = await asyncio.to_thread(load_other_engines, parrot, SETTINGS, usual)
    assert loaded.stt is not usual.stt
    await loaded.stt.aclose()
    del sys.modules["livekit.plugins.parrot"]
