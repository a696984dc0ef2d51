"""Tests of the settings: defaults, refusals, and the example file."""

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import SecretStr

from config import env_example
from config.settings import HttpSettings, Settings, load_settings
from llm_router.options import BreakerOptions, HealthOptions, PatienceOptions, RouterOptions
from llm_router.settings.loading import SettingsError, environment, load_section

SECRET = "a-secret-of-more-than-thirty-two-characters"
NO_FILE = Path("no-such.env")


@pytest.fixture(autouse=True)
def _only_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.setenv("LIVEKIT_API_KEY", "key")
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load_settings(NO_FILE)
    return str(refused.value)


def test_every_setting_but_the_keys_has_a_default() -> None:
    settings = load_settings(NO_FILE)
    assert settings.livekit_url == "ws://127.0.0.1:7880"
    assert settings.agent_name == "patchbay"
    assert settings.http_port == 8787
    assert settings.allowed_origins == ()
    assert settings.documents_folder is None  # no caller learns the hours of a made-up shop


def test_every_default_would_be_accepted_if_it_were_typed(tmp_path: Path) -> None:
    typed = tmp_path / "typed.env"
    typed.write_text(env_example.render(), encoding="utf-8")
    assert load_settings(typed) == load_settings(NO_FILE)


def test_every_variable_has_a_description() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_every_setting_and_every_option_is_read() -> None:
    root = Path(__file__).parents[2]
    folders = ("agent", "config", "llm_router")
    files = [file for name in folders for file in (root / name).rglob("*.py")]
    code = "\n".join(file.read_text(encoding="utf-8") for file in files)
    options = (PatienceOptions, BreakerOptions, RouterOptions, HealthOptions)
    names = {*Settings.model_fields, *(f.name for one in options for f in fields(one))}
    read = {*re.findall(r"\.([a-z_]+)\b", code)}
    # The variables that name servers are read by discovery, as other programs' are.
    read |= {name.lower() for name in re.findall(r'"([A-Z_]+)"', code)}
    assert names - read == set()


def test_the_example_file_is_what_the_settings_say() -> None:
    assert env_example.TARGET.read_text(encoding="utf-8") == env_example.render(), (
        "run: python -m config.env_example"
    )


def test_the_example_file_holds_no_secret() -> None:
    lines = env_example.render().splitlines()
    assert "LIVEKIT_API_SECRET=" in lines
    assert "OPENAI_API_KEY=" in lines
    assert "OPENAI_COMPATIBLE_DATA=" in lines


def test_the_scoreboard_is_in_the_database_or_in_a_file_and_can_be_switched_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings(NO_FILE).scoreboard_file is None
    monkeypatch.setenv("HOME", "/home/jo")
    monkeypatch.setenv("SCOREBOARD_FILE", "~/board.sqlite3")
    assert load_settings(NO_FILE).scoreboard_file == Path("/home/jo/board.sqlite3")
    monkeypatch.setenv("SCOREBOARD_FILE", "off")
    assert load_settings(NO_FILE).scoreboard_file == "off"


def test_the_database_is_a_file_of_the_users_own_unless_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/jo")
    default = "sqlite:////home/jo/.local/state/patchbay/patchbay.sqlite3"
    assert load_settings(NO_FILE).database_url.get_secret_value() == default
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:pw-secret@db/patchbay")
    settings = load_settings(NO_FILE)
    assert settings.database_url.get_secret_value().endswith("@db/patchbay")
    assert "pw-secret" not in repr(settings)


def test_allowed_addresses_are_networks_and_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALLOWED_ADDRESSES", "10.1.2.3/8, Box.lan,*.corp.example")
    monkeypatch.setenv("ENCRYPTION_KEYS", "new, old")
    settings = load_settings(NO_FILE)
    assert settings.allowed_addresses == ("10.0.0.0/8", "box.lan", "*.corp.example")
    assert settings.master_keys == ("new", "old")


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text("HTTP_PORT=9000\nAGENT_NAME=desk\n")
    monkeypatch.setenv("HTTP_PORT", "9001")
    settings = load_settings(file)
    assert (settings.http_port, settings.agent_name) == (9001, "desk")


def test_an_empty_variable_counts_as_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / ".env"
    file.write_text("HTTP_PORT=9000\nPROMETHEUS_PORT=\n")
    monkeypatch.setenv("HTTP_PORT", "")
    settings = load_settings(file)
    assert (settings.http_port, settings.prometheus_port) == (9000, None)
    assert environment(file)["HTTP_PORT"] == "9000"
    assert "PROMETHEUS_PORT" not in environment(file)


def test_a_section_can_be_read_without_the_keys_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LIVEKIT_API_SECRET")
    assert load_section(HttpSettings, NO_FILE).http_port == 8787


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("HTTP_PORT", "eighty", "should be a valid integer"),
        ("HTTP_PORT", "70000", "should be less than or equal to 65535"),
        ("WORKER_PORT", "0", "should be greater than or equal to 1"),
        ("VAD_ENGINE", "loud", "should be 'native' or 'silero'"),
        ("LOG_LEVEL", "CHATTY", "should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("LIVEKIT_URL", "127.0.0.1:7880", "should look like ws://host:port"),
        ("ALLOWED_ADDRESSES", "http://box", "should be networks such as 10.0.0.0/8"),
        ("API_RATE_LIMIT", "often", "should be a number per second"),
        ("VLLM_BASE_URL", "http://:8000/v1", "should look like http://host:port"),
        ("AGENT_NAME", "two words", "should be 1 to 64 letters"),
        ("AGENT_LANGUAGE", "English", "should be a language code such as en"),
        ("TOKEN_RATE_LIMIT", "often", "should be a number per second"),
        ("ALLOWED_ORIGINS", "example.org", "should be origins such as https://"),
        ("ALLOWED_ORIGINS", "https://a.example/path", "should be origins such as https://"),
        ("CORS_ORIGINS", "https://a.example, b.example", "should be origins such as https://"),
        ("RATE_LIMIT_PER_MINUTE", "0", "should be greater than or equal to 1"),
        ("HEDGE_BUDGET", "5", "should be less than or equal to 1"),
        ("REPLY_DEADLINE", "inf", "should be a finite number"),
        ("FILLER_AFTER", "0", "should be greater than 0"),
        ("PREEMPTIVE_GENERATION", "perhaps", "should be a valid boolean"),
    ],
)
def test_a_wrong_value_is_named_shown_and_put_right(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    message = refusal(monkeypatch, **{name: value})
    assert message.splitlines()[0].startswith(f"{name}=")
    assert allowed in message


def test_all_wrong_values_come_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, HTTP_PORT="x", VAD_ENGINE="y")
    assert {line.split("=")[0] for line in message.splitlines()} == {"VAD_ENGINE", "HTTP_PORT"}


def test_a_missing_key_is_named_with_its_description(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {"LIVEKIT_URL": "wss://calls.example", "LIVEKIT_API_KEY": ""}
    message = refusal(monkeypatch, **elsewhere)
    assert message.startswith(
        "LIVEKIT_API_KEY is not set: API key from the LiveKit server's own configuration."
    )
    assert len(message.splitlines()) == 1
    both = refusal(monkeypatch, **elsewhere, LIVEKIT_API_SECRET="")
    assert [line.split()[0] for line in both.splitlines()] == [
        "LIVEKIT_API_KEY",
        "LIVEKIT_API_SECRET",
    ]


@pytest.mark.parametrize("url", ["", "ws://localhost:7990", "ws://[::1]:7880", "http://127.9.9.9"])
@pytest.mark.parametrize(("key", "secret"), [("", ""), ("devkey", ""), ("devkey", "secret")])
def test_a_livekit_server_on_this_machine_has_the_keys_of_dev(
    monkeypatch: pytest.MonkeyPatch, url: str, key: str, secret: str
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", url)
    monkeypatch.setenv("LIVEKIT_API_KEY", key)
    monkeypatch.setenv("LIVEKIT_API_SECRET", secret)
    settings = load_settings(NO_FILE)
    assert settings.livekit_api_key == "devkey"
    assert settings.livekit_api_secret.get_secret_value() == "secret"


def test_a_key_of_ones_own_needs_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refusal(monkeypatch, LIVEKIT_API_SECRET="")
    assert message.startswith("LIVEKIT_API_SECRET is not set: ")


@pytest.mark.parametrize("name", ["LIVEKIT_URL", "LIVEKIT_PUBLIC_URL"])
@pytest.mark.parametrize("address", ["ws://10.0.0.5:7880", "wss://calls.example", "ws://livekit:1"])
def test_the_keys_of_dev_are_refused_where_others_reach_the_server(
    monkeypatch: pytest.MonkeyPatch, name: str, address: str
) -> None:
    dev = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "secret"}
    assert "since others can reach" in refusal(monkeypatch, **{name: address}, **dev)


def test_a_wrong_address_is_not_blamed_on_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    none = {"LIVEKIT_API_KEY": "", "LIVEKIT_API_SECRET": ""}
    (line,) = refusal(monkeypatch, LIVEKIT_URL="calls.example", **none).splitlines()
    assert line.startswith("LIVEKIT_URL=")


@pytest.mark.parametrize(
    ("least", "most"),
    [
        ("ENDPOINTING_MIN_DELAY", "ENDPOINTING_MAX_DELAY"),
        ("FIRST_WORD_DEADLINE_MIN", "FIRST_WORD_DEADLINE_MAX"),
    ],
)
def test_bounds_in_the_wrong_order_are_refused(
    monkeypatch: pytest.MonkeyPatch, least: str, most: str
) -> None:
    message = refusal(monkeypatch, **{least: "3", most: "1.5"})
    assert message == f"{least}=3 should not be above {most}=1.5"


def test_a_short_secret_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = "wss://calls.example"
    message = refusal(monkeypatch, LIVEKIT_URL=elsewhere, LIVEKIT_API_SECRET="hunter2")
    assert "at least 32 characters" in message
    assert "hunter2" not in message


def test_the_error_carries_no_cause_that_would_print_a_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIVEKIT_API_SECRET", "hunter2")
    monkeypatch.setenv("LIVEKIT_URL", "wss://calls.example")
    with pytest.raises(SettingsError) as refused:
        load_settings(NO_FILE)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_password_in_an_address_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = refusal(monkeypatch, VLLM_BASE_URL="http://me:hunter2@10.0.0.1:8000")
    assert "hunter2" not in message
    assert "no password" in message


def test_secrets_do_not_show_in_the_settings_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hunter2")
    monkeypatch.setenv("OPENAI_COMPATIBLE_DATA", '[{"apiKey": "hunter2"}]')
    settings = load_settings(NO_FILE)
    assert settings.openai_api_key == SecretStr("sk-hunter2")
    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)


def test_origins_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://A.example, http://localhost:3000/,")
    assert load_settings(NO_FILE).allowed_origins == ("https://a.example", "http://localhost:3000")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"AGENT_NAME=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        load_settings(file)


def test_a_pause_too_short_for_the_turn_detector_is_refused_here_and_not_in_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = refusal(monkeypatch, VAD_MIN_SILENCE="0.2")
    assert "VAD_MIN_SILENCE=0.2 should be at least 0.25" in said
    monkeypatch.setenv("TURN_DETECTION", "vad")
    assert load_settings(NO_FILE).vad_min_silence == 0.2


def test_a_connections_file_that_was_named_must_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    missing = tmp_path / "mine.json"
    said = refusal(monkeypatch, CONNECTIONS_FILE=str(missing))
    assert f"CONNECTIONS_FILE={missing}: there is no such file" in said
    missing.write_text("[]")
    assert load_settings(NO_FILE).connections_file == missing


def test_the_check_history_must_cover_the_time_to_deactivation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = refusal(monkeypatch, AUTO_DEACTIVATE_AFTER="100", HEALTH_HISTORY_DAYS="2")
    assert said.startswith("AUTO_DEACTIVATE_AFTER=100 should be at most 48")
    monkeypatch.setenv("AUTO_DEACTIVATE", "false")
    assert not load_settings(NO_FILE).auto_deactivate
    monkeypatch.setenv("AUTO_DEACTIVATE", "true")
    monkeypatch.setenv("HEALTH_HISTORY_DAYS", "30")
    assert load_settings(NO_FILE).auto_deactivate_after == 100
    said = refusal(monkeypatch, HEALTH_CHECK_INTERVAL="10")
    assert "should be at most 28" in said


def test_quotes_around_a_value_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    # `docker run --env-file` leaves them there.
    monkeypatch.setenv("LIVEKIT_URL", '"ws://livekit:7880"')
    monkeypatch.setenv("LIVEKIT_API_SECRET", f"'{SECRET}'")
    monkeypatch.setenv("HTTP_PORT", '"9000"')
    monkeypatch.setenv("AGENT_GREETING", '""')
    settings = load_settings(NO_FILE)
    assert settings.livekit_url == "ws://livekit:7880"
    assert settings.livekit_api_secret.get_secret_value() == SECRET
    assert settings.http_port == 9000
    assert settings.agent_greeting is None


def test_assistants_have_a_file_and_visitors_only_those_that_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_settings(NO_FILE).assistants_file == Path("config/assistants.toml")
    assert load_settings(NO_FILE).visitor_assistants == ()
    monkeypatch.setenv("VISITOR_ASSISTANTS", "shop, front-desk")
    assert load_settings(NO_FILE).visitor_assistants == ("shop", "front-desk")


def test_all_origins_may_ask_the_api_but_only_by_name_embed_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "*")
    assert load_settings(NO_FILE).cors_origins == ("*",)
    monkeypatch.setenv("CORS_ORIGINS", "https://A.example,")
    assert load_settings(NO_FILE).cors_origins == ("https://a.example",)
    assert "ALLOWED_ORIGINS=*" in refusal(monkeypatch, ALLOWED_ORIGINS="*")


@pytest.mark.parametrize("key", ["change-me", "your secret key here", "x" * 15, "x" * 201])
def test_a_fixed_key_that_can_be_guessed_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    message = refusal(monkeypatch, PROXY_API_KEY=key)
    assert message.startswith("PROXY_API_KEY (a secret, not shown) should have 16 to 200")
    assert key not in message


def test_a_rate_a_minute_takes_the_place_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_RATE_LIMIT", "5/hour")
    assert load_settings(NO_FILE).key_rate_limit == "5/hour"
    monkeypatch.setenv("RATE_LIMIT_PER_MINUTE", "60")
    assert load_settings(NO_FILE).key_rate_limit == "60/minute"
