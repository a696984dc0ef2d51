"""Tests what addresses of the machine become in a container, and which stay as they are."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import load_settings
from llm_router.loopback import is_changed, reach, reach_variable
from llm_router.settings.loading import environment, export_variables

HOST = "host.docker.internal"


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("http://127.0.0.1:11434", f"http://{HOST}:11434"),
        ("http://localhost:8000/v1", f"http://{HOST}:8000/v1"),
        ("http://LOCALHOST", f"http://{HOST}"),
        ("http://127.0.1.1/x", f"http://{HOST}/x"),
        ("http://0.0.0.0:1234", f"http://{HOST}:1234"),
        ("ws://[::1]:7880", f"ws://{HOST}:7880"),
        ("127.0.0.1:11434", f"{HOST}:11434"),
        ("postgresql://jo:s3cret@localhost/desk", f"postgresql://jo:s3cret@{HOST}/desk"),
        ('[{"baseUrl": "http://localhost:1"}]', f'[{{"baseUrl": "http://{HOST}:1"}}]'),
        ("127.0.0.1", "127.0.0.1"),
        ("localhost,127.0.0.1", "localhost,127.0.0.1"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("http://localhost.example.org", "http://localhost.example.org"),
        ("http://10.127.0.0.1.nip.io", "http://10.127.0.0.1.nip.io"),
        ("https://x.org/?next=127.0.0.1:80", "https://x.org/?next=127.0.0.1:80"),
        ("sqlite:////home/jo/localhost.db", "sqlite:////home/jo/localhost.db"),
    ],
)
def test_an_address_of_the_machine(address: str, reached: str) -> None:
    assert reach(address, HOST) == reached
    assert reach(reached, HOST) == reached
    assert reach(address, "") == address
    assert is_changed(address, {"LOOPBACK_HOST": HOST}) == (address != reached)


def test_addresses_for_browsers_and_for_the_container_itself_stay() -> None:
    here = "http://127.0.0.1:7880"
    for name in ("LIVEKIT_PUBLIC_URL", "ALLOWED_ORIGINS", "patchbay_api_url"):
        assert reach_variable(name, here, {"LOOPBACK_HOST": HOST}) == here
    assert reach_variable("LIVEKIT_URL", here, {}) == here


def test_settings_of_a_container_name_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "LOOPBACK_HOST": HOST,
        "LIVEKIT_URL": "ws://localhost:7880",
        "LIVEKIT_PUBLIC_URL": "ws://localhost:7880",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "a-secret-of-more-than-thirty-two-characters",
        "TTS_BASE_URL": "http://127.0.0.1:8880/v1",
        "DATABASE_URL": "postgresql://jo:s3cret@127.0.0.1/desk",
        "HTTPS_PROXY": "http://127.0.0.1:3128",
    }
    for name, value in {**given, "OLLAMA_BASE_URL": ""}.items():  # "": removed again at the end
        monkeypatch.setenv(name, value)
    file = tmp_path / ".env"
    file.write_text("OLLAMA_BASE_URL=http://127.0.0.1:11434\n")
    settings = load_settings(file)
    assert settings.livekit_url == f"ws://{HOST}:7880"
    assert settings.livekit_public_url == "ws://localhost:7880"
    assert settings.tts_base_url == f"http://{HOST}:8880/v1"
    assert settings.database_url == SecretStr(f"postgresql://jo:s3cret@{HOST}/desk")
    assert settings.ollama_base_url == f"http://{HOST}:11434"
    assert environment(file)["HTTPS_PROXY"] == f"http://{HOST}:3128"
    note = export_variables(file)
    assert note.startswith("DATABASE_URL, HTTPS_PROXY, LIVEKIT_URL, TTS_BASE_URL: ")
    assert "s3cret" not in note
    assert export_variables(file) == "", "once is enough"
