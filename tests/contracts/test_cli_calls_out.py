"""`llm-router phone call` and `phone schedule`, over a database without a process that dials."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from agent.commands import calls_out
from llm_router.cli.command import CommandContext
from llm_router.cli.output import Output
from llm_router.testing import ManualClock
from llm_router.voice.phone.plan import PlanStatus
from tests.contracts.cli_shell import Shell

NUMBER = "+15550123456"


def test_the_statuses_are_those_of_planned_calls() -> None:
    assert get_args(calls_out._Status) == get_args(PlanStatus)


def test_a_call_is_planned_with_its_variables_and_once_by_its_key(here: Shell) -> None:
    asked = ("phone", "call", NUMBER, "--var", "name=Ann = Lee", "--key", "k", "--json")
    first, again = (json.loads(here(*asked).stdout) for _ in range(2))
    assert first == again
    assert (first["number"], first["variables"]) == (NUMBER, {"name": "Ann = Lee"})
    listed = json.loads(here("phone", "schedule", "list", "--json").stdout)
    assert [call["id"] for call in listed] == [first["id"]]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [((NUMBER, "--var", "name"), "write NAME=VALUE"), (("0555123456",), "has no country code")],
)
def test_a_call_that_cannot_be_is_refused(
    here: Shell, arguments: tuple[str, ...], fault: str
) -> None:
    assert fault in here("phone", "call", *arguments, code=2).stderr


def test_a_call_needs_an_assistant_that_is_stored_or_in_the_file(
    shell: Shell, tmp_path: Path
) -> None:
    """The default one would speak in the place of one that is not there."""
    asked = ("phone", "call", NUMBER, "--assistant", "reminders")
    refused = shell(*asked, code=2)
    assert "there is no assistant 'reminders'" in refused.stderr
    assert "llm-router assistants list" in refused.stderr
    file = tmp_path / "calls.csv"
    file.write_text(f"number,assistant\n{NUMBER},\n{NUMBER},reminders\n")
    assert "calls.1.assistant: " in shell("phone", "schedule", "add", str(file), code=2).stderr
    assert shell.json("phone", "schedule", "list") == []
    shell("assistants", "add", "reminders")
    assert shell.json(*asked)["assistant"] == "reminders"


def test_an_assistant_of_the_file_may_call(here: Shell, tmp_path: Path) -> None:
    file = tmp_path / "assistants.toml"
    file.write_text("[reminders]\n")
    asked = ("phone", "call", NUMBER, "--assistant", "reminders")
    assert here.json(*asked, ASSISTANTS_FILE=str(file))["assistant"] == "reminders"
    listed = here.json("assistants", "list", ASSISTANTS_FILE=str(file))
    assert [(each["name"], each["source"]) for each in listed] == [("reminders", "file")]
    here(*asked, code=2)


def test_a_file_is_planned_once_and_a_call_of_it_cancelled(here: Shell, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text(f"number,idempotency_key\n{NUMBER},a\n+15550123457,b\n")
    planned = json.loads(here("phone", "schedule", "add", str(file), "--json").stdout)
    assert [call["number"] for call in planned] == [NUMBER, "+15550123457"]
    assert json.loads(here("phone", "schedule", "add", str(file), "--json").stdout) == planned
    here("phone", "schedule", "cancel", planned[0]["id"])
    waiting = here("phone", "schedule", "list", "--status", "waiting", "--json")
    assert [call["id"] for call in json.loads(waiting.stdout)] == [planned[1]["id"]]
    refused = here("phone", "schedule", "cancel", planned[0]["id"], code=2)
    assert "is cancelled" in refused.stderr


def test_a_fault_in_a_file_is_named_and_nothing_is_planned(here: Shell, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text(f"number\n{NUMBER}\n112\n")
    failed = here("phone", "schedule", "add", str(file), code=2)
    assert f"{file}, line 3: number: is an emergency number" in failed.stderr
    absent = here("phone", "schedule", "add", str(tmp_path / "no.csv"), code=2)
    assert "cannot be read" in absent.stderr
    assert json.loads(here("phone", "schedule", "list", "--json").stdout) == []


def test_an_emergency_number_is_refused_in_plain_words(here: Shell) -> None:
    refused = here("phone", "call", "112", code=2)
    assert "number: is an emergency number, which no agent may call" in refused.stderr


class Api:
    """Answers how far a planned call is, one state after the other."""

    def __init__(self, *states: tuple[str, str]) -> None:
        self._states = [
            {
                "id": "c1", "status": status, "outcome": outcome, "next_at": None,
                "reason": "start a worker" if outcome == "no_agent" else "",
                "attempt": 0 if outcome == "no_agent" else 1,
            }
            for status, outcome in states
        ]  # fmt: skip

    async def request(self, *_: Any) -> Any:
        return self._states.pop(0)


@pytest.mark.parametrize(("outcome", "code"), [("person", 0), ("busy", 1)])
def test_a_call_is_followed_to_its_end(
    outcome: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(calls_out, "SystemClock", lambda: clock)
    api: Any = Api(("preparing", ""), *[("ringing", "")] * 30, ("done", outcome))
    assert clock.run(follow(api)) == code
    shown = capsys.readouterr()
    assert shown.err.split() == ["preparing", "ringing", "done:", outcome]
    assert shown.out.strip() == f"done: {outcome}"


def test_a_call_that_waits_for_the_set_up_says_why_and_is_followed_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    monkeypatch.setattr(calls_out, "SystemClock", lambda: clock)
    waits = [("waiting", "no_agent")] * 60
    assert clock.run(follow(Api(*waits, ("answered", ""), ("done", "person")))) == 0
    assert capsys.readouterr().err.splitlines() == [
        "waiting: no agent: start a worker", "answered", "done: person",
    ]  # fmt: skip


def test_a_call_that_waits_for_its_next_attempt_is_followed_no_further() -> None:
    assert ManualClock().run(follow(Api(("waiting", "busy")))) == 1


async def follow(api: Any) -> int:
    context = CommandContext(api, Output(as_json=False))
    return await calls_out._follow(context, await api.request())
