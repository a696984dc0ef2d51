"""`llm-router doctor --attack`: our own HTTP process withstands it, and a weak one does not."""

from pathlib import Path

import pytest

from llm_router.cli.attacks.rows import ROWS
from llm_router.testing.server import FaultyServer
from tests.contracts.cli_shell import Shell
from tests.contracts.threads import api_on_a_socket, in_a_thread
from tests.contracts.weak_gateway import weak_gateway

FLAGS = ("--set=visibility=everyone", "--set=use_in_automation=true")
UNSEEN = {"data that runs when it is read"}


def states(shell: Shell, url: str, key: str) -> dict[str, str]:
    """Runs the attacks and returns the state of each row; the exit code is 1 if one has failed."""
    variables = {"PATCHBAY_API_URL": url, "PATCHBAY_API_KEY": key}
    found = shell.json("doctor", "--attack", code=None, **variables)
    assert shell("doctor", "--attack", "--help").exit_code == 0
    return {row["title"]: row["state"] for row in found}


@pytest.mark.parametrize(
    ("who", "not_tried"),
    [
        ("admin", {*UNSEEN, "addresses of the network"}),
        ("editor", UNSEEN),
        ("nobody", {*UNSEEN, "templates from users", "requests sent elsewhere",
                    "addresses of the network", "configuration for any key",
                    "one key for two purposes", "a second header",
                    "requests that exhaust the server"}),
    ],
)  # fmt: skip
def test_our_own_process_withstands_every_attack(
    here: Shell, tmp_path: Path, who: str, not_tried: set[str]
) -> None:
    url = f"sqlite:///{tmp_path}/there.sqlite3"
    with in_a_thread(FaultyServer()) as server, in_a_thread(api_on_a_socket(url)) as api:
        there = {"PATCHBAY_API_URL": api.url, "PATCHBAY_API_KEY": api.keys["admin"]}
        here("connections", "add", "desk", "--base-url", server.base_url, "--model", "m",
             "--no-test", *FLAGS, code=0, **there)  # fmt: skip
        found = states(here, api.url, api.keys.get(who, ""))
        keys = here.json("api-keys", "list", **there)
    assert [title for title, state in found.items() if state == "failed"] == []
    assert {title for title, state in found.items() if state == "not applicable"} == not_tried
    assert not [key for key in keys if key["name"] == "attack" and key["state"] == "valid"]


def test_a_weak_gateway_fails_every_row_that_can_be_seen(here: Shell) -> None:
    with in_a_thread(weak_gateway()) as url:
        found = states(here, url, "pb_admin")
    assert len(found) == len(ROWS)
    failed = {title for title, state in found.items() if state == "failed"}
    seen = {row.title for row in ROWS} - UNSEEN
    assert failed == seen - {"addresses of the network", "a package that was taken over"}


def test_the_exit_code_says_whether_an_attack_has_succeeded(here: Shell) -> None:
    with in_a_thread(weak_gateway()) as url:
        result = here("doctor", "--attack", "--api-url", url, code=1)
    assert "failed         SQL in a key (LiteLLM CVE-2026-42208)" in result.stdout


def test_a_deployment_that_is_not_there_is_named(here: Shell) -> None:
    result = here("doctor", "--attack", "--api-url", "http://127.0.0.1:9", code=2)
    assert "http://127.0.0.1:9: does not answer" in result.stderr
    assert "needs the address" in here("doctor", "--attack", code=2).stderr
