"""Tests the encryption of secrets at rest."""

import base64
import json
import logging
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import pytest
from cryptography.fernet import Fernet, InvalidToken

from llm_router.errors import ConfigurationError, SealError
from llm_router.store.crypto import Purpose, Vault, load_vault

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))
PLACE = "llm_connections:7:api_key"


def test_a_sealed_value_is_unreadable_and_opens_in_its_place() -> None:
    vault = Vault([OLD])
    sealed = vault.seal("sk-secret €\ud800", bound_to=PLACE)
    assert "sk-secret" not in sealed
    assert vault.open(sealed, bound_to=PLACE) == "sk-secret €\ud800"


def test_a_text_sealed_twice_looks_different_each_time() -> None:
    vault = Vault([OLD])
    assert vault.seal("a", bound_to=PLACE) != vault.seal("a", bound_to=PLACE)


@pytest.mark.parametrize("elsewhere", ["llm_connections:8:api_key", "llm_connections:7:headers"])
def test_a_value_moved_to_another_row_or_column_is_refused(elsewhere: str) -> None:
    vault = Vault([OLD])
    sealed = vault.seal("sk-secret", bound_to=PLACE)
    with pytest.raises(SealError) as caught:
        vault.open(sealed, bound_to=elsewhere)
    assert f"{elsewhere} holds a value sealed for {PLACE}" in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def changed(sealed: str, at: int) -> str:
    return sealed[:at] + ("A" if sealed[at] != "A" else "B") + sealed[at + 1 :]


def test_a_change_anywhere_is_noticed() -> None:
    vault = Vault([OLD])
    sealed = vault.seal("sk-secret", bound_to=PLACE)
    # The last characters before the padding have bits that base64 ignores.
    for at in range(len(sealed.rstrip("=")) - 1):
        with pytest.raises(SealError):
            vault.open(changed(sealed, at), bound_to=PLACE)


@pytest.mark.parametrize("garbage", ["", "sk-plain", "gAAAA", "\ud800", "€", "\x00"])
def test_garbage_in_a_sealed_column_is_refused(garbage: str) -> None:
    with pytest.raises(SealError, match="cannot be opened"):
        Vault([OLD]).open(garbage, bound_to=PLACE)


@pytest.mark.parametrize("inside", [b"[]", b"{}", b"sk", b'"for"'])
def test_a_foreign_value_under_the_same_key_is_refused(inside: bytes) -> None:
    with pytest.raises(SealError, match="cannot be opened"):
        Vault([OLD]).open(Fernet(OLD).encrypt(inside).decode(), bound_to=PLACE)


def test_a_lost_key_is_named_with_its_place_and_what_to_do() -> None:
    sealed = Vault([OLD]).seal("sk-secret", bound_to=PLACE)
    with pytest.raises(SealError) as caught:
        Vault([NEW], source="master.key").open(sealed, bound_to=PLACE)
    said = str(caught.value)
    assert PLACE in said
    assert "not among master.key; if these were changed, restart this process" in said
    assert "put that key back, or enter the value again" in said


def test_the_first_key_seals_and_all_open() -> None:
    sealed = Vault([OLD]).seal("sk-secret", bound_to=PLACE)
    both = Vault([NEW, OLD])
    assert both.open(sealed, bound_to=PLACE) == "sk-secret"
    assert Vault([NEW]).open(both.seal("b", bound_to=PLACE), bound_to=PLACE) == "b"


def test_a_rotation_reseals_and_leaves_the_old_key_useless() -> None:
    both = Vault([NEW, OLD])
    sealed = Vault([OLD]).seal("sk-secret", bound_to=PLACE)
    assert both.needs_resealing(sealed, bound_to=PLACE)
    renewed = both.reseal(sealed, bound_to=PLACE)
    assert not both.needs_resealing(renewed, bound_to=PLACE)
    assert Vault([NEW]).open(renewed, bound_to=PLACE) == "sk-secret"
    with pytest.raises(SealError):
        Vault([OLD]).open(renewed, bound_to=PLACE)


# ── One key for one purpose ──────────────────────────────────────────────────────────────────────


def sealed_by_an_older_version(text: str, key: str = OLD, place: str = PLACE) -> str:
    return Fernet(key).encrypt(json.dumps({"for": place, "text": text}).encode()).decode()


def test_a_value_that_an_older_version_sealed_opens_and_is_resealed() -> None:
    old = sealed_by_an_older_version("sk-secret")
    vault = Vault([OLD])
    assert vault.open(old, bound_to=PLACE) == "sk-secret"
    assert vault.needs_resealing(old, bound_to=PLACE)
    assert not vault.needs_resealing(vault.reseal(old, bound_to=PLACE), bound_to=PLACE)
    with pytest.raises(SealError, match="sealed for llm_connections:7:api_key"):
        vault.open(old, bound_to="llm_connections:8:api_key")
    assert Vault([NEW, OLD]).open(old, bound_to=PLACE) == "sk-secret"


def as_fernet(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


def test_no_key_of_one_purpose_opens_or_makes_anything_of_another() -> None:
    vault = Vault([OLD])
    sealed = vault.seal("sk-secret", bound_to=PLACE)
    others = [as_fernet(vault.derive(purpose)[0]) for purpose in get_args(Purpose)]
    for key in (OLD, NEW, *others):
        with pytest.raises(InvalidToken):
            Fernet(key).decrypt(sealed.encode())
    for key in others:
        with pytest.raises(SealError):
            vault.open(sealed_by_an_older_version("forged", key), bound_to=PLACE)


def test_a_value_of_one_table_opens_in_no_other_whatever_it_says_it_is_for() -> None:
    vault = Vault([OLD])
    place = "webhooks:7:secret"
    [cipher] = vault._ciphers(PLACE)
    forged = cipher.encrypt(json.dumps({"for": place, "text": "whsec"}).encode()).decode()
    with pytest.raises(SealError, match="cannot be opened"):
        vault.open(forged, bound_to=place)


def test_every_purpose_has_a_key_from_each_master_key_the_newest_first() -> None:
    keys = {purpose: Vault([NEW, OLD]).derive(purpose) for purpose in get_args(Purpose)}
    assert all(len(key) == 32 for each in keys.values() for key in each)
    assert len({key for each in keys.values() for key in each}) == 2 * len(keys)
    for purpose, (newest, oldest) in keys.items():
        assert (newest,) == Vault([NEW]).derive(purpose)
        assert (oldest,) == Vault([OLD]).derive(purpose)


def test_a_moved_value_is_not_resealed_into_its_new_place() -> None:
    sealed = Vault([OLD]).seal("sk-secret", bound_to=PLACE)
    with pytest.raises(SealError):
        Vault([NEW, OLD]).reseal(sealed, bound_to="llm_connections:8:api_key")


def test_a_vault_shows_nothing_of_its_keys() -> None:
    assert repr(Vault([NEW, OLD])) == "<Vault of 2 keys>"


@pytest.mark.parametrize(
    "wrong", ["", "short", OLD[:-2], "é" * 44], ids=["empty", "short", "cut", "not ASCII"]
)
def test_an_invalid_key_is_refused_and_not_repeated(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="number 2 is not a master key") as caught:
        Vault([OLD, wrong])
    assert not wrong or wrong not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_vault_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="there is none"):
        Vault([])


# --- the key file ----------------------------------------------------------------------------


def test_a_first_start_makes_a_key_that_only_its_owner_can_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "folder" / "master.key"
    caplog.set_level(logging.DEBUG)
    sealed = load_vault((), file).seal("sk-secret", bound_to=PLACE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]
    assert load_vault((), file).open(sealed, bound_to=PLACE) == "sk-secret"
    (record,) = caplog.records  # the first start alone says so
    assert str(file) in record.getMessage()
    key = file.read_text().splitlines()[-1]
    assert key not in caplog.text


def test_given_keys_leave_the_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    load_vault([OLD], file)
    assert not file.exists()


def test_a_file_may_hold_several_keys_the_first_of_which_seals(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_text(f"# new\n{NEW}\n\n  {OLD}  \n")
    file.chmod(0o600)
    vault = load_vault((), file)
    assert vault.open(Vault([OLD]).seal("a", bound_to=PLACE), bound_to=PLACE) == "a"
    assert Vault([NEW]).open(vault.seal("b", bound_to=PLACE), bound_to=PLACE) == "b"


def test_a_key_is_not_made_where_one_was_lost(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    with pytest.raises(ConfigurationError, match="put the file back") as caught:
        load_vault((), file, may_create=False)
    assert str(file) in str(caught.value)
    assert not file.exists()


def test_a_file_that_others_can_read_is_mentioned_with_the_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "master.key"
    file.write_text(OLD)
    file.chmod(0o644)
    load_vault((), file)
    assert "chmod 600" in caplog.text
    assert OLD not in caplog.text


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"not a key\n", b"\xff\xfe"])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "master.key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"master\.key"):
        load_vault((), file)


def test_a_place_where_no_file_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be read or made"):
        load_vault((), tmp_path / "file" / "master.key")


def test_processes_that_start_at_the_same_time_get_one_key(tmp_path: Path) -> None:
    """Threads, since they meet at a barrier; to the file system they are what processes are.

    Thirty times over, since those that miss each other prove nothing.
    """
    together = threading.Barrier(4, timeout=30)

    def start(file: Path) -> str:
        together.wait()
        return load_vault((), file).seal("sk-secret", bound_to="here")

    with ThreadPoolExecutor(4) as threads:
        for n in range(30):
            file = tmp_path / f"{n}.key"
            sealed = list(threads.map(start, [file] * 4))
            vault = load_vault((), file)
            assert [vault.open(text, bound_to="here") for text in sealed] == ["sk-secret"] * 4
    assert len(list(tmp_path.iterdir())) == 30
