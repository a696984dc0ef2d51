"""Commands do and print the same over a database and over HTTP."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from llm_router.testing.server import Fault, FaultyServer, Script
from tests.contracts.cli_shell import KEY, Shell
from tests.contracts.threads import in_a_thread

WORDS = "".join(Script().words)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with in_a_thread(FaultyServer()) as server:
        yield server


def names(shell: Shell, *filters: str) -> list[str]:
    return [item["name"] for item in shell.json("connections", "list", *filters)]


# ── Connections ──────────────────────────────────────────────────────────────────────────────────


def test_an_empty_list_names_the_next_step(shell: Shell) -> None:
    result = shell("connections", "list")
    assert result.stdout == ""
    assert "connections discover" in result.stderr
    assert shell.json("connections", "list") == []


def test_a_connection_is_added_listed_in_columns_and_shown(shell: Shell) -> None:
    words = ("--base-url", "http://host:8000/v1", "--model", "m", "--tag", "gpu", "--tag", "eu")
    more = ("--priority", "3", "--set", "timeout=20", "--no-test")
    result = shell("connections", "add", "cellar", *words, *more)
    assert result.stdout == "added cellar; try it: llm-router connections test cellar\n"
    header, row = (line.split("\t") for line in shell("connections", "list").stdout.splitlines())
    listed = dict(zip(header, row, strict=True))
    assert listed | {"id": ""} == {
        "name": "cellar", "type": "remote", "model": "m", "address": "http://host:8000/v1",
        "pool": "default", "priority": "3", "status": "untested", "key": "-", "id": "",
    }  # fmt: skip
    shown = shell.json("connections", "show", listed["id"])
    assert shown == shell.json("connections", "show", "cellar")
    assert (shown["timeout"], shown["tags"]) == (20.0, ["gpu", "eu"])
    assert "timeout\t20\n" in shell("connections", "show", "cellar").stdout


def test_lists_are_filtered(shell: Shell) -> None:
    shell.add("a", "--tag", "gpu", "--set", "use_in_livekit=false")
    shell.add("b", "--pool", "night")
    assert names(shell, "--tag", "gpu") == ["a"]
    assert names(shell, "--use", "livekit") == ["b"]
    assert names(shell, "--pool", "night") == ["b"]
    assert names(shell, "--inactive") == []
    assert names(shell, "--text", "A") == ["a"]


@pytest.mark.parametrize("where", ["-", "env:MINE"])
def test_a_key_is_piped_in_or_taken_from_a_variable(shell: Shell, where: str) -> None:
    made = shell.add("a", "--key", where, typed=f"{KEY}\n", MINE=KEY)
    assert (made["api_key_set"], made["api_key_last4"]) == (True, "wxyz")
    assert "...wxyz" in shell("connections", "list").stdout
    assert shell.json("connections", "edit", "a", "--key", "none")["api_key_set"] is False


def test_a_key_on_the_command_line_is_refused_and_not_repeated(shell: Shell) -> None:
    result = shell("connections", "add", "a", "--key", KEY, code=2)
    assert "have it replaced" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    refused = shell("connections", "add", "a", "--set", f"api_key={KEY}", code=2)
    assert "use --key or --header" in refused.stderr
    assert names(shell) == []


@pytest.mark.parametrize(
    ("where", "message"),
    [("-", "standard input is empty"), ("env:MINE", "variable MINE is not set"),
     ("ask", "standard input is not a terminal")],
)  # fmt: skip
def test_a_missing_key_is_reported(here: Shell, where: str, message: str) -> None:
    assert message in here("connections", "add", "a", "--key", where, code=2).stderr


def test_a_header_is_a_secret_too(shell: Shell) -> None:
    made = shell.add("a", "--header", "X-Auth=env:MINE", MINE=KEY)
    assert made["header_names"] == ["X-Auth"]


def test_an_edit_shows_what_it_changed(shell: Shell) -> None:
    shell.add("a")
    result = shell("connections", "edit", "a", "--name", "b", "--priority", "7")
    assert result.stdout.splitlines() == ["field\tbefore\tafter", "name\ta\tb", "priority\t0\t7"]
    assert names(shell) == ["b"]
    assert "nothing to change" in shell("connections", "edit", "b", code=2).stderr


@pytest.mark.parametrize(
    ("pair", "message"),
    [("nothing=1", "no such field"), ("version=1", "the store sets"), ("x", "FIELD=VALUE"),
     ("priority=much", "priority"), ("timeout=-1", "timeout")],
)  # fmt: skip
def test_an_invalid_field_is_named(shell: Shell, pair: str, message: str) -> None:
    refused = shell("connections", "add", "a", "--provider", "offline", "--set", pair, code=2)
    assert message in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_connection_is_switched_off_and_on_and_removed_once_confirmed(shell: Shell) -> None:
    shell.add("a")
    assert shell("connections", "deactivate", "a").stdout == "a is off\n"
    assert names(shell, "--inactive") == ["a"]
    assert shell.json("connections", "activate", "a")["status"] == "untested"
    assert "add --yes" in shell("connections", "remove", "a", code=2).stderr
    assert shell("connections", "remove", "a", "--yes").stdout == "removed a\n"
    assert "there is no connection 'a'" in shell("connections", "show", "a", code=2).stderr


def test_a_test_prints_the_words_and_the_times(shell: Shell, server: FaultyServer) -> None:
    shell("connections", "add", "a", "--base-url", server.base_url, "--model", "m", "--no-test")
    words, summary = shell("connections", "test", "a").stdout.splitlines()
    assert words == WORDS.strip()
    assert summary.startswith("a works: first word after 0.")
    result = shell.json("connections", "test", "a", "--prompt", "Hi?", "--max-tokens", "5")
    assert (result["ok"], result["text"]) == (True, WORDS)
    assert server.requests[-1].body["max_tokens"] == 5


def test_a_failed_test_says_what_to_do_and_exits_with_1(shell: Shell) -> None:
    with in_a_thread(FaultyServer(Script(fault=Fault.STATUS, status=401))) as server:
        words = ("--base-url", server.base_url, "--model", "m", "--key", "env:MINE")
        shell("connections", "add", "a", *words, "--no-test", MINE=KEY)
        result = shell("connections", "test", "a", code=1)
        assert result.stdout.startswith("a does not work: rejected key")
        assert "check api_key" in result.stdout
        assert "llm-router connections edit a --key ask" in result.stderr
        assert shell.json("connections", "test", "a", code=1)["failure"]["kind"] == "rejected key"


def test_a_new_connection_is_tested_at_once(shell: Shell, server: FaultyServer) -> None:
    words = ("connections", "add", "a", "--base-url", server.base_url, "--model", "m")
    added, answer, summary = shell(*words).stdout.splitlines()
    assert (added, answer) == ("added a", WORDS.strip())
    assert summary.startswith("a works: first word after 0.")
    added_as_json = shell.json("connections", "add", "b", *words[3:])
    assert (added_as_json["status"], added_as_json["test"]["ok"]) == ("active", True)


@pytest.mark.parametrize(
    ("script", "failure", "advice"),
    [
        (Script(fault=Fault.STATUS, status=401), "rejected key", "edit 'my gpu' --key ask"),
        (Script(fault=Fault.STATUS, status=404), "model missing", "the server lists: faulty\n"),
    ],
)
def test_a_new_connection_that_does_not_work_stays_with_what_to_do(
    shell: Shell, script: Script, failure: str, advice: str
) -> None:
    with in_a_thread(FaultyServer(script)) as server:
        words = ("my gpu", "--base-url", server.base_url, "--model", "m")
        result = shell("connections", "add", *words, code=1)
    assert result.stdout.splitlines()[0] == "added my gpu"
    assert f"my gpu does not work: {failure}" in result.stdout
    assert advice in result.stderr
    assert "to try it again: llm-router connections test 'my gpu'" in result.stderr
    assert names(shell) == ["my gpu"]


def test_a_new_connection_without_a_server_names_the_address(shell: Shell, unused_url: str) -> None:
    result = shell("connections", "add", "a", "--base-url", unused_url, code=1)
    assert "a does not work: unreachable" in result.stdout
    assert "edit a --base-url URL" in result.stderr


def test_a_test_shows_the_notice_that_json_shows(here: Shell) -> None:
    pages = {"/v1/models": {"data": [{"id": "m", "owned_by": "vllm"}]}}
    with in_a_thread(FaultyServer(pages=pages)) as server:
        words = ("--base-url", server.base_url, "--model", "m", "--server", "ollama", "--no-test")
        here("connections", "add", "a", *words)
        notice = here.json("connections", "test", "a")["notice"]
        assert "it looks like vLLM" in notice
        assert notice in here("connections", "test", "a").stderr
        (found,) = [f for f in here.json("doctor", code=None) if f["subject"] == "connection a"]
    assert found["state"] == "note"
    assert notice in found["message"]


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


def written(folder: Path, *rows: Mapping[str, object], name: str = "mine.json") -> str:
    file = folder / name
    file.write_text(json.dumps({"connections": rows}))
    return str(file)


def test_a_file_is_imported_and_exported_again_without_keys(shell: Shell, tmp_path: Path) -> None:
    row = {"name": "a", "provider": "offline", "api_key": "env:MINE", "priority": 5}
    result = shell("connections", "import", written(tmp_path, row), MINE=KEY)
    assert result.stdout == "added a\n"
    plain = {"name": "a", "provider": "offline", "priority": 5}
    (shown,) = shell.json("connections", "export")["connections"]
    assert shown | plain == shown
    assert "api_key" not in shown
    file = tmp_path / "out.json"
    shell("connections", "export", str(file))
    assert json.loads(file.read_text()) == {"connections": [shown]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("calls", "show", "shop"), "call_id: is not an id; list them to see theirs"),
        (("api-keys", "revoke", "anna"), "key_id: is not an id; list them to see theirs"),
        (("phone", "schedule", "cancel", "x"), "planned_id: is not an id; list them"),
        (("assistants", "show", "shop"), "'shop'; list the assistants to see their names"),
        (("sites", "show", "shop"), "'shop'; list the sites to see their names"),
        (("connections", "import", "missing.json"), "(No such file or directory); correct the"),
        (("connections", "list", "--api-url", "here"), "here: is no address; write one such as"),
    ],
)
def test_what_is_not_there_is_named_with_what_to_do(
    here: Shell, words: tuple[str, ...], said: str
) -> None:
    assert said in here(*words, code=2).stderr


def test_a_database_where_no_file_can_be_is_named_with_what_to_do(here: Shell) -> None:
    refused = here("connections", "list", code=2, DATABASE_URL="sqlite:////proc/none/x.sqlite3")
    assert "it is not there, and cannot be made: correct the URL" in refused.stderr


def test_a_mistake_in_a_file_is_named_with_its_place(shell: Shell, tmp_path: Path) -> None:
    good = {"name": "a", "provider": "offline"}
    file = written(tmp_path, good, {"name": "b", "base_ulr": "http://host"})
    result = shell("connections", "import", file, code=2)
    assert f'{file}, connections[1]: unknown field "base_ulr"' in result.stderr
    assert names(shell) == []
    assert "cannot be read" in shell("connections", "import", "none.json", code=2).stderr


def test_a_dotenv_file_is_imported(shell: Shell) -> None:
    typed = "LLM_BACKEND_TYPE=ollama\nOLLAMA_BASE_URL=http://127.0.0.1:9\nDEFAULT_MODEL=m\n"
    shell("connections", "import", "-", "--format", "env", typed=typed)
    assert names(shell) == ["ollama"]


def test_a_plan_is_shown_and_applied_as_a_whole_once_confirmed(
    shell: Shell, tmp_path: Path
) -> None:
    for name in "abc":
        shell.add(name)
    rows: list[dict[str, object]] = [
        {"name": "a", "provider": "offline"},
        {"name": "b", "provider": "offline", "priority": 9, "api_key": KEY},
        {"name": "new", "provider": "offline"},
    ]
    words = ("connections", "apply", "-f", written(tmp_path, *rows), "--prune")
    plan = [
        "change\tconnection\tfields", "added\tnew\t-",
        "changed\tb\tpriority: 0 -> 9; api_key: none -> another",
        "removed\tc\t-", "unchanged\ta\t-",
    ]  # fmt: skip
    assert shell(*words, "--dry-run").stdout.splitlines() == plan
    asked = shell(*words, code=2)
    assert "add --yes" in asked.stderr
    assert asked.stdout.splitlines() == plan
    assert sorted(names(shell)) == ["a", "b", "c"]
    assert shell(*words, "--yes").stdout.splitlines() == plan
    assert sorted(names(shell)) == ["a", "b", "new"]
    # Applying it again changes nothing, and needs no confirmation.
    again = shell.json(*words)
    assert (again["added"], again["changed"], again["removed"]) == ([], [], [])
    assert sorted(again["unchanged"]) == ["a", "b", "new"]


def test_without_prune_nothing_is_removed_and_without_a_key_the_key_stays(
    shell: Shell, tmp_path: Path
) -> None:
    shell.add("a", "--key", "env:MINE", MINE=KEY)
    shell.add("b")
    file = written(tmp_path, {"name": "a", "provider": "offline", "weight": 2.0})
    plan = shell.json("connections", "apply", "-f", file, "--yes")
    (changed,) = plan["changed"]
    assert changed["fields"] == {"weight": {"before": 1.0, "after": 2.0}}
    assert plan["applied"] is True
    assert sorted(names(shell)) == ["a", "b"]
    assert shell.json("connections", "show", "a")["api_key_last4"] == "wxyz"


def test_a_plan_with_one_step_that_cannot_be_applied_changes_nothing(
    shell: Shell, tmp_path: Path
) -> None:
    shell.add("a")
    before = shell.json("connections", "show", "a")
    taken = {"id": "another", "name": "a", "provider": "offline"}
    new = {"name": "new", "provider": "offline"}
    file = written(tmp_path, new, taken)
    result = shell("connections", "apply", "-f", file, "--yes", code=2)
    assert "there is a connection of name 'a' already" in result.stderr
    assert shell.json("connections", "list") == [before]


# ── Discovery, presets and API keys ──────────────────────────────────────────────────────────────


def test_discovered_connections_are_listed_and_added_only_if_named(shell: Shell) -> None:
    result = shell("connections", "discover", OPENAI_API_KEY=KEY)
    assert "openai\tgpt-4.1-mini\thttps://api.openai.com/v1\tOPENAI_API_KEY\tno" in result.stdout
    assert names(shell) == []
    wrong = shell("connections", "discover", "--add", "none", OPENAI_API_KEY=KEY, code=2)
    assert "no such connection was found; found:" in wrong.stderr
    shell("connections", "discover", "--add", "openai", OPENAI_API_KEY=KEY)
    assert names(shell) == ["openai"]
    again = shell.json("connections", "discover", "--add", "openai", OPENAI_API_KEY=KEY)
    assert again["added"] == []
    assert [offer["stored"] for offer in again["found"] if offer["name"] == "openai"] == [True]


def test_a_preset_takes_its_keys_from_the_environment(shell: Shell) -> None:
    assert "local-dev\t" in shell("presets", "list").stdout
    shell("presets", "apply", "local-dev")
    assert names(shell) == ["ollama", "llama.cpp"]
    missing = shell("presets", "apply", "production", OPENAI_API_KEY=KEY, code=2)
    assert "needs ANTHROPIC_API_KEY, GROQ_API_KEY" in missing.stderr
    keys = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GROQ_API_KEY"), KEY)
    added = shell.json("presets", "apply", "production", **keys)
    assert [item["name"] for item in added] == ["anthropic", "openai", "groq"]
    assert "there is no preset 'x'" in shell("presets", "apply", "x", code=2).stderr


def test_an_api_key_is_created_printed_once_listed_and_revoked(shell: Shell) -> None:
    made = shell("api-keys", "create", "anna", "--role", "editor", "--days", "7")
    assert made.stdout.startswith("pb_")
    assert len(made.stdout.splitlines()) == 1
    (key,) = [k for k in shell.json("api-keys", "list") if k["name"] == "anna"]
    assert (key["role"], key["owner"]) == ("editor", "anna")
    assert key["expires_at"]
    assert made.stdout.strip() not in shell("api-keys", "list").stdout
    assert (key["routes"], key["pools"], key["state"]) == (None, None, "valid")
    shell("api-keys", "limit", key["id"], "--route", "chat", "--route", "mcp", "--pool", "fast")
    shell("api-keys", "limit", key["id"], "--clear", "pools", "--clear", "expires_at")
    (key,) = [k for k in shell.json("api-keys", "list") if k["name"] == "anna"]
    assert (key["routes"], key["pools"], key["expires_at"]) == (["chat", "mcp"], None, None)
    amounts = ("--rpm", "60", "--tpm", "9000", "--budget", "0", "--monthly-tokens", "5000")
    shell("api-keys", "limit", key["id"], *amounts)
    (key,) = [k for k in shell.json("api-keys", "list") if k["name"] == "anna"]
    assert (key["rate_limit_rpm"], key["rate_limit_tpm"]) == (60, 9000)
    assert "0.00 of 0, 0 of 5,000 tokens" in shell("api-keys", "list").stdout
    assert "nothing to change" in shell("api-keys", "limit", key["id"], code=2).stderr
    shell("api-keys", "revoke", key["id"])
    (key,) = [k for k in shell.json("api-keys", "list") if k["name"] == "anna"]
    assert key["revoked_at"]
    assert "no" in shell("api-keys", "revoke", "0" * 12, code=2).stderr
