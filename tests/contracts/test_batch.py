"""Tests the batch command: its files, a run after a kill, and requests without a place."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from llm_router.api_client import ApiClient, Completion
from llm_router.cli.batch import BatchRun
from llm_router.cli.batch_files import BatchResults, read_lines
from llm_router.cli.command import CommandError
from llm_router.testing import ManualClock
from llm_router.testing.server import FaultyServer, Script
from tests.contracts.cli_process import ran, started

WORDS = "".join(Script().words)
CHAT = "/v1/chat/completions"


def request(custom_id: str, content: str = "Hi?", **fields: Any) -> dict[str, Any]:
    body = {"model": "auto", "messages": [{"role": "user", "content": content}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **fields}


def write(file: Path, lines: Sequence[Any]) -> Path:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


# ── Files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "custom_id: must be a text"),
        (json.dumps(request("")), "custom_id: must be a text"),
        (json.dumps(request("a", method="GET")), "method: must be POST"),
        (json.dumps(request("a", url="http://evil.test/v1/x")), "url: must be a path"),
        (json.dumps(request("a", url="/v1/../api/keys")), "url: must be a path"),
        (json.dumps(request("a", body=None)), "body: must be an object"),
        (json.dumps(request("one")), "custom_id: another line has the same"),
    ],
)
def test_a_line_that_is_no_request_is_named_before_anything_is_asked(
    tmp_path: Path, line: str, said: str
) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(f"{json.dumps(request('one'))}\n\n{line}\n")
    with pytest.raises(CommandError, match=f"line 3: {said}"):
        list(read_lines(file))


async def test_a_line_that_was_cut_off_is_not_done(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    out = BatchResults(file)
    await out.add("a", 200, "req_1", {"choices": []})
    await out.add("b", 400, "req_2", {"error": {}})
    out.close()
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    out = BatchResults(file)
    assert out.done == {"a": 200}
    with pytest.raises(CommandError, match="another process writes it"):
        BatchResults(file)
    await out.add("b", 200, "req_3", {})
    out.close()
    assert [line["custom_id"] for line in read(file)] == ["a", "b"]


def test_a_file_of_something_else_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("my notes\n")
    with pytest.raises(CommandError, match=r"line 1: is no result of a batch"):
        BatchResults(file)
    assert file.read_text() == "my notes\n"


# ── Runs ─────────────────────────────────────────────────────────────────────────────────────────


class Answers(ApiClient):
    """A gateway that answers each request with the next of these."""

    def __init__(self, *answers: Completion) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def complete(self, path: str, body: Any) -> Completion:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(("busy", "status"), [(3, 200), (25, None)])
def test_a_request_without_a_place_waits_and_is_left_undone_in_the_end(
    tmp_path: Path, busy: int, status: int | None
) -> None:
    full = Completion(429, "", {"error": {}}, 7.0)
    api = Answers(*[full] * busy, Completion(200, "req_1", {}, None))
    out = BatchResults(tmp_path / "out.jsonl")
    clock = ManualClock()
    lines = read_lines(write(tmp_path / "in.jsonl", [request("a")]))

    async def main() -> None:
        await BatchRun(api, lines, out, clock).run(3, lambda: None)

    clock.run(main())
    out.close()
    assert out.done.get("a") == status
    assert clock.now() >= min(busy, 20) * 7.0


def test_a_budget_that_is_used_up_is_not_waited_for(tmp_path: Path) -> None:
    api = Answers(Completion(429, "", {"error": {}}, 86_400.0))
    out = BatchResults(tmp_path / "out.jsonl")
    clock = ManualClock()
    lines = read_lines(write(tmp_path / "in.jsonl", [request("a"), request("b")]))
    clock.run(BatchRun(api, lines, out, clock).run(1, lambda: None))
    out.close()
    assert (out.done, api.asked, clock.now()) == ({}, 2, 0.0)


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    async with FaultyServer(Script(gap=0.002)) as server:
        yield server


async def add_connection(folder: Path, server: FaultyServer) -> None:
    code, _, error = await ran(
        folder, "connections", "add", "desk", "--base-url", server.base_url, "--model", "m",
        "--no-test",
    )  # fmt: skip
    assert code == 0, error


async def test_a_batch_is_answered_in_the_form_of_openai(
    tmp_path: Path, server: FaultyServer
) -> None:
    await add_connection(tmp_path, server)
    bad = request("bad")
    bad["body"]["model"] = "gone"
    asked = [request("a"), bad, request("b", "And you?")]
    asked[0]["body"]["stream"] = True
    write(tmp_path / "in.jsonl", asked)
    code, out, _ = await ran(tmp_path, "batch", "in.jsonl", "out.jsonl", "--json")
    assert code == 1
    assert json.loads(out) == {
        "requests": 3, "answered": 2, "failed": 1, "left": 0, "skipped": 0,
    }  # fmt: skip
    results = {line["custom_id"]: line for line in read(tmp_path / "out.jsonl")}
    response = results["a"]["response"]
    assert (response["status_code"], results["a"]["error"]) == (200, None)
    assert response["body"]["choices"][0]["message"]["content"] == WORDS
    assert response["request_id"].startswith("req_")
    assert results["bad"]["response"]["status_code"] == 404
    assert results["bad"]["response"]["body"]["error"]["code"] == "model_not_found"


async def test_a_killed_batch_goes_on_and_asks_no_done_line_again(
    tmp_path: Path, server: FaultyServer
) -> None:
    await add_connection(tmp_path, server)
    wanted = [f"request {number}" for number in range(40)]
    write(tmp_path / "in.jsonl", [request(name, name) for name in wanted])
    out = tmp_path / "out.jsonl"
    arguments = ("batch", "in.jsonl", "out.jsonl", "--concurrency", "2")
    async with started(tmp_path, *arguments) as process:
        while not out.exists() or out.read_bytes().count(b"\n") < 5:
            await asyncio.to_thread(out.exists)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    done = {line["custom_id"] for line in read(out)[:-1]}
    before = len(server.requests)
    code, said, error = await ran(tmp_path, *arguments)
    assert code == 0, error
    assert "40 of 40 answered, 0 failed, 0 left" in said
    assert re.search(r"answered: 3\d of 40", error), error
    assert sorted(line["custom_id"] for line in read(out)) == sorted(wanted)
    again = [asked.messages[-1]["content"] for asked in server.requests[before:]]
    assert not done & {*again}
    assert len(done) >= 4


async def test_a_gateway_that_is_away_ends_the_batch_and_leaves_its_requests(
    tmp_path: Path, unused_url: str
) -> None:
    write(tmp_path / "in.jsonl", [request("a")])
    url = unused_url.removesuffix("/v1")
    code, _, error = await ran(
        tmp_path, "batch", "in.jsonl", "out.jsonl", "--api-url", url, PATCHBAY_API_KEY="pb_x"
    )
    assert code == 2
    assert "does not answer" in error
    assert (tmp_path / "out.jsonl").read_text() == ""
