"""Tests that a worker follows the telephone's file."""

import os
import resource
from pathlib import Path

import pytest

from agent.phone.setup_file import PhoneFile
from llm_router.errors import ConfigurationError

ONE = """
[[trunks]]
name = "carrier"
allowed_addresses = ["127.0.0.1"]

[[numbers]]
number = "+15550100"
"""


def write(file: Path, text: str, changed: int) -> None:
    file.write_text(text)
    os.utime(file, (changed, changed))


def test_a_changed_file_counts_from_the_next_call(tmp_path: Path) -> None:
    file = tmp_path / "phone.toml"
    phone = PhoneFile(file, {})
    assert phone.read().numbers == ()
    write(file, ONE, 1)
    assert [each.number for each in phone.read().numbers] == ["+15550100"]
    assert phone.read() is phone.read()
    write(file, ONE.replace("0100", "0101"), 2)
    assert [each.number for each in phone.read().numbers] == ["+15550101"]


def test_a_file_that_was_spoilt_is_logged_once_and_ends_no_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "phone.toml"
    write(file, ONE, 1)
    phone = PhoneFile(file, {})
    before = phone.read()
    write(file, "[[numbers", 2)
    assert phone.read() is before
    assert phone.read() is before
    assert len(caplog.records) == 1
    assert "answered as before" in caplog.text
    write(file, "", 3)
    assert phone.read().numbers == ()


def test_a_file_that_the_system_did_not_let_us_read_is_read_again_though_it_has_not_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "phone.toml"
    write(file, ONE, 1)
    phone = PhoneFile(file, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # refuses the superuser as well
    try:
        for _ in range(2):
            assert phone.read().numbers == ()
        with pytest.raises(ConfigurationError, match="cannot be read"):
            phone.read_now()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(caplog.records) == 1
    assert [each.number for each in phone.read_now().numbers] == ["+15550100"]


def test_a_change_within_the_same_time_and_length_counts(tmp_path: Path) -> None:
    file = tmp_path / "phone.toml"
    write(file, ONE, 1)
    phone = PhoneFile(file, {})
    phone.read()
    before = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == before:  # the system's clock of files has coarse ticks
        write(file, ONE.replace("0100", "0101"), 1)
    assert [each.number for each in phone.read().numbers] == ["+15550101"]
