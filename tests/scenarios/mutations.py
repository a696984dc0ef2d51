"""Shows that the scenarios can fail: breaks the router on purpose, one place at a time.

    python tests/scenarios/mutations.py [NAME ...]

Each mutation is made in a copy of the code in a temporary folder, where the scenarios run. Prints
the checks and tests that noticed it, and ends with status 1 if one mutation went unnoticed. The
README beside this file records the latest result. Takes a few seconds for each mutation.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCHEDULES = "1000"
_CHECK = re.compile(r"^E?\s*([a-z_]+): .*$", re.MULTILINE)
_FAILED = re.compile(r"^(?:FAILED|ERROR) \S+::(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change: `old`, which `file` contains once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str


MUTATIONS = (
    Mutation(
        "a lost race is not cancelled",
        "llm_router/routing/attempts.py",
        "        attempt.cut()\n        attempt.cancel()\n",
        "        attempt.cut()\n",
    ),
    Mutation(
        "every chunk counts as progress, a role too",
        "llm_router/types.py",
        "return bool(self.tool_calls) or (bool(self.text) and not self.text.isspace())",
        "return self.finish_reason is None",
    ),
    Mutation(
        "hedges need no budget",
        "llm_router/routing/hedge.py",
        "(endpoint := self._hedge(now)) and may_hedge",
        "(endpoint := self._hedge(now))",
    ),
    Mutation(
        "an endpoint that must never be a hedge is one",
        "llm_router/routing/hedge.py",
        'if endpoint.connection.hedge == "never" or endpoint.provider.last_resort:',
        "if endpoint.provider.last_resort:",
    ),
    Mutation(
        "the seam is not joined",
        "llm_router/routing/reply.py",
        'text = seam.feed(chunk.text) + (seam.flush() if is_whole else "")',
        "text = chunk.text",
    ),
    Mutation(
        "words of other attempts are given out beside the winner's",
        "llm_router/routing/reply.py",
        "            if attempt is not winner or event == MORE_OF_A_CALL:\n",
        "            if event == MORE_OF_A_CALL:\n",
    ),
    Mutation(
        "a reply is replayed after its tool call is out",
        "llm_router/routing/reply.py",
        "            if self._gave_tool_calls:\n",
        "            if False:\n",
    ),
    Mutation(
        "a bad request counts against the endpoint",
        "llm_router/failures.py",
        'FailureClass.BAD_REQUEST: Consequence("another kind", "never")',
        'FailureClass.BAD_REQUEST: Consequence("another kind", "counts")',
    ),
    Mutation(
        "a barge-in counts against the endpoint",
        "llm_router/routing/attempt.py",
        "            self.endpoint.latency.record_at_least(",
        '            self._report_to_breaker(Failure(FailureClass.SILENT, "cut"))\n'
        "            self.endpoint.latency.record_at_least(",
    ),
    Mutation(
        "a wait that was cut off is not recorded",
        "llm_router/routing/attempt.py",
        "            self.endpoint.latency.record_at_least(self.size, now - self.started_at, now)",
        "            _ = now",
    ),
    Mutation(
        "a lost attempt is not reported",
        "llm_router/routing/ledger.py",
        "        self._observers.attempt_ended(self._ended[-1])",
        '        if outcome != "lost":\n            self._observers.attempt_ended(self._ended[-1])',
    ),
    Mutation(
        "a reply that is left leaves its streams open",
        "llm_router/routing/attempts.py",
        '                self.stop(attempt, "cancelled")\n        self.mailbox.close()',
        '                self._ledger.ended(attempt, "cancelled")\n        self.mailbox.close()',
    ),
    Mutation(
        "the deadline is ignored",
        "llm_router/routing/hedge.py",
        "out_of_time = now >= self._give_up_at",
        "out_of_time = False",
    ),
    Mutation(
        "the last resort is asked in its turn, and not last",
        "llm_router/routing/hedge.py",
        "            return endpoint if out_of_time or is_last else None\n",
        "            return endpoint\n",
    ),
    Mutation(
        "words that a server sends after the end are given out",
        "llm_router/routing/reply.py",
        "            if event.usage:\n                yield Chunk(usage=event.usage, ",
        "            if True:\n                yield event._replace(",
    ),
    Mutation(
        "a failure is raised into the voice",
        "llm_router/routing/reply.py",
        "        elif self._request.speech:\n            text = phrases.pick(",
        "        elif False:\n            text = phrases.pick(",
    ),
    Mutation(
        "resumes have no limit",
        "llm_router/routing/reply.py",
        "if self._ledger.resumes == self._options.max_resumes or self._is_out_of_time:",
        "if self._is_out_of_time:",
    ),
    Mutation(
        "attempts have no limit",
        "llm_router/routing/hedge.py",
        "        self._attempts_left -= 1\n",
        "",
    ),
    Mutation(
        "a connection's own limit of retries is ignored",
        "llm_router/routing/repeats.py",
        "return again is None or self._asked[endpoint] <= again",
        "return again is None or True",
    ),
    Mutation(
        "endpoints with an open breaker are not asked when all others have failed",
        "llm_router/routing/reply.py",
        "            race.requeue(ready)\n",
        "            assert ready is not None\n",
    ),
    Mutation(
        "an endpoint that failed is not asked again",
        "llm_router/routing/hedge.py",
        "        return None if any(_is_well(spare, now) for spare in self._queue) else endpoint\n",
        "        return None\n",
    ),
    Mutation(
        "an endpoint is asked again after a failure that lasts",
        "llm_router/failures.py",
        'return self.consequence.again != "never" and not self.is_final',
        "return not self.is_final",
    ),
    Mutation(
        "an endpoint is asked again without a pause",
        "llm_router/failures.py",
        "_FIRST_PAUSE = 0.08",
        "_FIRST_PAUSE = 0.0",
    ),
    Mutation(
        "a trial is not waited for",
        "llm_router/routing/reply.py",
        "            race.started(trial)\n",
        "            assert trial\n",
    ),
    Mutation(
        "a continuation with nothing to add is a failure",
        "llm_router/routing/reply.py",
        "if chunk := winning(event, self._ledger.given, may_be_silent=silent):",
        "if (chunk := winning(event, self._ledger.given, may_be_silent=silent)) and chunk.useful:",
    ),
    Mutation(
        "silence after the first words is no stall",
        "llm_router/routing/reply.py",
        "        return min(due_at, winner.times_out_at, self._ends_at)\n",
        "        return min(winner.times_out_at, self._ends_at)\n",
    ),
    Mutation(
        "the time for the whole reply is ignored",
        "llm_router/routing/reply.py",
        "        self._ends_at = self._ledger.started_at + total\n",
        "        self._ends_at = self._ledger.started_at + total + 1e6\n",
    ),
    Mutation(
        "an attempt cancelled before its first step stays in flight",
        "llm_router/routing/attempt.py",
        "        self._task.add_done_callback(self._on_end)\n",
        "        self._task.add_done_callback("
        "lambda _: None if self._clock.now() == self.started_at else self._on_end(_))\n",
    ),
    Mutation(
        "a last resort that speaks counts against the endpoints it did not wait for",
        "llm_router/routing/attempts.py",
        "if is_slower and not (is_early or winner.endpoint.provider.last_resort):",
        "if is_slower and not is_early:",
    ),
    Mutation(
        "a server that fails fast looks fast",
        "llm_router/routing/attempt.py",
        "            latency.record_failure(self.size, now)\n",
        "            pass\n",
    ),
    Mutation(
        "a server that drips looks fast",
        "llm_router/routing/attempt.py",
        "            latency.record_no_clause(self.size, now - self.started_at, now)\n",
        "            pass\n",
    ),
    Mutation(
        "a pause that is usual for a server is a stall",
        "llm_router/routing/stall.py",
        "usual_pause=usual_pause(speaker.endpoint.latency.pauses, now, options),",
        "usual_pause=0.0,",
    ),
    Mutation(
        "a caller who has waited once waits again",
        "llm_router/routing/attempt.py",
        "(0.0 if self._is_repeated_question() else hedge_after)",
        "hedge_after",
    ),
    Mutation(
        "the endpoint that answered a session is forgotten",
        "llm_router/routing/reply.py",
        "        self._router.pool.record_answer(self._request.session_id, winner.endpoint)\n",
        "",
    ),
    Mutation(
        "attempts do not count towards a connection's limits",
        "llm_router/routing/ledger.py",
        "        attempt.endpoint.limits.request_started(self.prompt_tokens, attempt.started_at)\n",
        "",
    ),
    Mutation(
        "the connections that were not asked are not reported",
        "llm_router/routing/ledger.py",
        "        self.unasked = tuple(unasked)\n",
        "",
    ),
    Mutation(
        "requests deposit nothing in the hedge budget",
        "llm_router/routing/reply.py",
        "        self._router.budget.deposit()\n",
        "",
    ),
    Mutation(
        "a stall never ends for a reader of text",
        "llm_router/routing/stall.py",
        "            return speaker.progress_at + options.stall\n",
        "            return speaker.progress_at + 1e9\n",
    ),
    Mutation(
        "a rate limit does not open the breaker",
        "llm_router/failures.py",
        'FailureClass.RATE_LIMITED: Consequence("any", "rests", "when told")',
        'FailureClass.RATE_LIMITED: Consequence("any", "never", "when told")',
    ),
)


def apply(mutation: Mutation, root: Path) -> None:
    """Makes the change below `root`.

    Raises ValueError if the code has changed, so that the mutation must be adapted.
    """
    file = root / mutation.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.name!r}: {mutation.file} must hold its `old` just once")
    file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")


def noticed_by(mutation: Mutation) -> list[str]:
    """Returns the invariants and tests that fail; empty: the mutation went unnoticed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("llm_router", "tests/scenarios"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", copy)
        apply(mutation, copy)
        command = [sys.executable, "-m", "pytest", *_scenarios(copy), "-q", "--tb=short"]
        command += ["--timeout=30", "--maxfail=3", "-p", "no:cacheprovider", "-k", "not is_drawn"]
        environment = {**os.environ, "SIMULATION_SCHEDULES": SCHEDULES, "PYTHONPATH": folder}
        ran = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    checks = [f"`{name}`" for name in dict.fromkeys(_CHECK.findall(ran.stdout)) if "_" in name]
    tests = list(dict.fromkeys(_FAILED.findall(ran.stdout)))
    if checks:
        tests = [name for name in tests if "invariants" not in name]
    if ran.returncode == 0:
        return []
    return [*checks, *tests] or [f"pytest ended with {ran.returncode}"]


def _scenarios(root: Path) -> list[str]:
    """Lists the test files, the simulation first: a broken invariant says more than one fault."""
    files = (root / "tests/scenarios").glob("test_*.py")
    others = [file for file in files if file.stem != "test_mutations"]
    others.sort(key=lambda file: (file.stem != "test_simulation", file.stem))
    return [str(file) for file in others]


def main(names: list[str]) -> int:
    unnoticed = 0
    print("| what was broken | what noticed |\n| --- | --- |")
    for mutation in MUTATIONS:
        if names and mutation.name not in names:
            continue
        noticed = noticed_by(mutation)
        unnoticed += not noticed
        shown = ", ".join(noticed[:3]) + (f" and {len(noticed) - 3} more" if noticed[3:] else "")
        print(f"| {mutation.name} | {shown or '**nothing**'} |", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
