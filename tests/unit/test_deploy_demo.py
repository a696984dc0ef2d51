"""Tests the demo's ports, its choice of LiveKit server, and its output."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import demo, ports, probes, services
from deploy.ports import PATCHBAY, Ports

KEYS = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "s" * 32}


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_ports_have_defaults() -> None:
    assert ports.read_ports({}) == Ports()
    assert ports.read_ports({"HTTP_PORT": " 9000 ", "WORKER_PORT": ""}) == Ports(http_port=9000)


@pytest.mark.parametrize("given", ["http", "0", "65536", "-1", "8.5", "²"])
def test_an_invalid_port_is_refused_with_its_variable(given: str) -> None:
    with pytest.raises(ports.PortError, match=f"HTTP_PORT is '{given}'"):
        ports.read_ports({"HTTP_PORT": given})


def test_a_taken_port_is_named_with_the_variable_that_changes_it(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    (problem,) = ports.port_problems(Ports(http_port=port), PATCHBAY)[:1]
    assert f"Port {port} for the page is taken" in problem
    assert "HTTP_PORT=" in problem


def test_a_taken_udp_port_is_seen() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        port = media.getsockname()[1]
        assert probes.port_problem(port, socket.SOCK_DGRAM) == "is taken"
    assert probes.port_problem(port, socket.SOCK_DGRAM) is None


def test_two_parts_on_one_port_are_reported() -> None:
    problems = ports.port_problems(Ports(http_port=45871, worker_port=45871), PATCHBAY)
    assert problems == ["HTTP_PORT and WORKER_PORT are both 45871. Choose another for one of them."]


def test_without_settings_the_demo_makes_keys_of_its_own() -> None:
    one = demo.choose_livekit({}, Ports(livekit_port=7990))
    other = demo.choose_livekit({}, Ports())
    assert one.ours
    assert one.url == "ws://127.0.0.1:7990"
    assert len(one.secret) >= 32
    assert one.secret != other.secret
    assert one.secret not in repr(one)


def test_the_standard_address_alone_still_means_a_server_of_the_demo() -> None:
    values = {"LIVEKIT_URL": demo.STANDARD_URL, "LIVEKIT_API_KEY": "", "LIVEKIT_API_SECRET": ""}
    assert demo.choose_livekit(values, Ports()).ours


def test_a_server_that_is_named_in_full_is_used() -> None:
    livekit = demo.choose_livekit({"LIVEKIT_URL": "wss://calls.example", **KEYS}, Ports())
    assert (livekit.url, livekit.ours) == ("wss://calls.example", False)


def test_keys_alone_are_those_of_a_server_at_the_standard_address() -> None:
    dev = {"LIVEKIT_API_KEY": "devkey", "LIVEKIT_API_SECRET": "secret"}
    livekit = demo.choose_livekit(dev, Ports(livekit_port=7990))
    assert (livekit.url, livekit.ours) == (demo.STANDARD_URL, False)


def test_an_incomplete_server_setting_names_the_missing_variables() -> None:
    one = {"LIVEKIT_API_KEY": "key"}
    with pytest.raises(demo.DemoError, match=r"^LIVEKIT_API_SECRET missing"):
        demo.choose_livekit(one, Ports())
    with pytest.raises(demo.DemoError, match=r"^LIVEKIT_API_KEY and LIVEKIT_API_SECRET missing"):
        demo.choose_livekit({"LIVEKIT_URL": "wss://calls.example"}, Ports())


def test_found_connections_are_listed_in_order() -> None:
    row = {"name": "local", "model": "tiny", "provider": "openai_compatible", "source": "a file"}
    lines = demo.describe_connections({"connections": [row], "offline": False})
    assert lines[1].split() == ["local", "tiny", "a", "file"]
    assert len(lines) == 2


def test_connections_stored_at_this_start_and_unused_ones_are_listed() -> None:
    row = {"name": "cloud", "model": "big", "provider": "openai_compatible", "source": "a key"}
    lines = demo.describe_connections({"connections": [], "offline": False, "stored_now": 2})
    assert lines[0].startswith("The connections that were found are stored now.")
    unused = [{**row, "command": "llm-router connections add cloud"}]
    lines = demo.describe_connections({"connections": [], "offline": False, "unused": unused})
    assert lines[0].startswith("Found but not used")
    assert lines[1].split() == ["cloud", "big", "a", "key"]
    assert lines[2].strip() == "llm-router connections add cloud"


def test_without_a_model_it_says_how_to_connect_one() -> None:
    lines = demo.describe_connections({"connections": [], "offline": True})
    assert lines[0].startswith("No model is connected")
    assert "OPENAI_BASE_URL" in " ".join(lines)


def test_warnings_about_connections_are_read() -> None:
    assert demo.read_warnings({"warnings": ["desk is down"]}) == ["desk is down"]
    assert demo.read_warnings({}) == []


@pytest.mark.parametrize("about", [None, [], "text"])
def test_an_empty_or_invalid_response_is_ignored(about: object) -> None:
    assert demo.describe_connections(about) == []
    assert demo.read_warnings(about) == []


@pytest.mark.parametrize(
    ("answer", "ready"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", True),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", False),
        (b"not http\r\n\r\n", False),
        (b"", False),
    ],
)
async def test_a_server_or_another_demo_is_there_when_it_answers_200(
    answer: bytes, ready: bool
) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await asyncio.to_thread(probes.answers, f"http://127.0.0.1:{port}/") is ready
        body = await asyncio.to_thread(probes.get_json, f"http://127.0.0.1:{port}/")
        assert body == ({} if ready else None)
        other = await asyncio.to_thread(demo.describe_other_demo, Ports(http_port=port))
        assert [f"http://127.0.0.1:{port}" in line for line in other] == ([True] if ready else [])


def test_a_closed_port_is_not_ready(taken: socket.socket) -> None:
    port = taken.getsockname()[1]
    taken.close()
    assert not probes.answers(f"http://127.0.0.1:{port}/")


def test_a_livekit_server_that_does_not_answer_is_named_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    free = ports.free_ports()
    for name, port in vars(free).items():
        monkeypatch.setenv(name.upper(), str(port))
    for name, value in {"LIVEKIT_URL": f"ws://127.0.0.1:{free.livekit_port}", **KEYS}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(demo.DemoError, match=r"^Nothing answers at LIVEKIT_URL=ws://127") as said:
        demo.start(())
    assert KEYS["LIVEKIT_API_SECRET"] not in str(said.value)


def test_the_demo_answers_for_its_made_up_shop_unless_texts_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DOCUMENTS_FOLDER", raising=False)
    livekit = services.LiveKit("ws://127.0.0.1:1", "key", "s" * 32, ours=False)
    worker, _ = services.patchbay_services(livekit, Ports(), demo.documents_of({}))
    assert (Path((worker.environ or {})["DOCUMENTS_FOLDER"]) / "shop.md").is_file()
    own = demo.documents_of({"DOCUMENTS_FOLDER": str(tmp_path)})
    worker, _ = services.patchbay_services(livekit, Ports(), own)
    assert (worker.environ or {})["DOCUMENTS_FOLDER"] == str(tmp_path)
