"""Tests the telephone of the demo: when it is started, what it lacks, what it shows to dial."""

from pathlib import Path

import pytest

from deploy import services, telephone
from deploy.ports import Ports

OWN = services.LiveKit("ws://127.0.0.1:7880", "key", "s" * 32, ours=True)
OTHER = services.LiveKit("wss://calls.example", "key", "s" * 32, ours=False)
REDIS = services.Redis(7879, "a-password-of-the-test")


def shown(values: dict[str, str], host: str = "127.0.0.1", ports: Ports | None = None) -> str:
    parts = telephone.Telephone(Path("redis"), Path("sip"), REDIS, host)
    return "\n".join(telephone.describe(values, parts, ports or Ports()))


@pytest.mark.parametrize(
    ("value", "asked"), [("1", True), ("yes", True), ("0", False), ("", False)]
)
def test_a_telephone_is_started_only_if_it_is_asked_for(value: str, asked: bool) -> None:
    assert telephone.is_asked_for({"PHONE": value}) is asked
    assert not telephone.is_asked_for({})


def test_a_livekit_server_of_the_persons_own_gets_no_telephone() -> None:
    with pytest.raises(telephone.TelephoneError, match=r"remove LIVEKIT_URL.*livekit-sip beside"):
        telephone.provide({}, OTHER, Ports())


def test_an_address_that_is_none_is_refused_with_its_variable() -> None:
    with pytest.raises(telephone.TelephoneError, match="PHONE_HOST is 'home'"):
        telephone.provide({"PHONE_HOST": "home"}, OWN, Ports())


def test_a_missing_redis_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(telephone.TelephoneError, match="apt install redis-server"):
        telephone.provide({}, OWN, Ports())


def test_the_numbers_of_the_file_are_shown_to_dial(tmp_path: Path) -> None:
    file = tmp_path / "phone.toml"
    assert "has no number to dial" in shown({"PHONE_FILE": str(file)})
    trunk = '[[trunks]]\nname = "a"\n'
    file.write_text(f'{trunk}[[numbers]]\nnumber = "+49 30 123456"\n')
    values = {"PHONE_FILE": str(file)}
    assert "sip:+4930123456@127.0.0.1 with a softphone on this machine" in shown(values)
    file.write_text(f'{trunk}[[numbers]]\nnumber = "+49 (30) 123-456"\n')
    elsewhere = shown(values, "192.168.1.20", Ports(sip_port=5062))
    assert "sip:+4930123456@192.168.1.20:5062 with a softphone in this network" in elsewhere


def test_what_others_in_the_network_can_reach_is_said() -> None:
    assert "can reach its health checks (port 5059)" in shown({})
    assert "can reach calls to 192.168.1.20 and its health checks" in shown({}, "192.168.1.20")


def test_the_shipped_file_has_a_number_to_dial() -> None:
    assert "dial sip:" in shown({})


def test_secrets_are_neither_shown_nor_readable_by_others(tmp_path: Path) -> None:
    redis = services.redis_service(Path("redis"), REDIS, tmp_path)
    sip = services.sip_service(Path("sip"), OWN, Ports(), REDIS)
    for service in (redis, sip):
        assert REDIS.password not in repr(service)
        assert OWN.secret not in " ".join(service.command)
    assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0
