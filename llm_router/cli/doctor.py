"""`llm-router doctor`: finds faults of this installation and says what to do about each."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from llm_router.cli.check import Finding
from llm_router.cli.command import EXIT_NO, ApiKeyFile, ApiUrl, CommandError, local_command
from llm_router.cli.output import Output
from llm_router.settings.loading import load_section
from llm_router.settings.running import find_demo
from llm_router.settings.store import ClientSettings

Attack = Annotated[
    bool,
    typer.Option(
        "--attack",
        help="Try on your own deployment what has broken other gateways, and nothing else. Needs"
        " --api-url or a running demo; with a key in PATCHBAY_API_KEY it tries more.",
    ),
]


def register(app: typer.Typer) -> None:
    local_command(app, "doctor")(doctor)


async def doctor(
    out: Output,
    *,
    attack: Attack = False,
    api_url: ApiUrl = None,
    api_key_file: ApiKeyFile = None,
) -> int | None:
    """Check the database, the master key, each connection, LiveKit, speech and a call's process.

    Each active connection is asked one short question, which a cloud may charge for. Only the
    status of connections is changed. With --api-url the HTTP process there is checked instead.
    Exits with 1 if there is a fault.
    """
    from llm_router.cli import diagnostics  # noqa: PLC0415  takes a second; --help skips it

    if attack:
        return await _attack(out, api_url, api_key_file)
    if api_url or load_section(ClientSettings).patchbay_api_url:
        checks = diagnostics.check_over_http(api_url, api_key_file)
    else:
        checks = diagnostics.check_here()
    return await print_findings(out, checks)


async def _attack(out: Output, api_url: str | None, api_key_file: Path | None) -> int | None:
    """Prints each row of the attacks as it comes; returns EXIT_NO if one has succeeded."""
    from llm_router.cli import connect  # noqa: PLC0415  takes a second; --help skips it
    from llm_router.cli.attacks import rows, target  # noqa: PLC0415

    demo = find_demo()
    url = connect.api_address(api_url) or (demo.address if demo else None)
    if url is None:
        raise CommandError("--attack needs the address of your own deployment: --api-url URL")
    results = []
    async with target.Target(url, connect.api_key(api_key_file)) as own:
        async for row, outcome in rows.attack(own):
            results.append((row, outcome))
            style = {"passed": "green", "failed": "red", "not applicable": "dim"}[outcome.state]
            line = f"{outcome.state:<15}{row.title} ({row.precedent}): {outcome.message}"
            out.print_line(line, style)
    out.json(
        [
            {"title": row.title, "precedent": row.precedent, "state": outcome.state,
             "message": outcome.message}
            for row, outcome in results
        ]
    )  # fmt: skip
    failed = sum(outcome.state == "failed" for _, outcome in results)
    out.print_note(f"{failed} of {len(results)} failed", "red" if failed else "green")
    return EXIT_NO if failed else None


async def print_findings(out: Output, checks: AsyncIterator[Finding]) -> int | None:
    """Prints each finding as it comes; returns the exit code, EXIT_NO for any fault."""
    findings = []
    async for finding in checks:
        findings.append(finding)
        style = {"ok": "green", "note": "yellow", "fault": "red"}[finding.state]
        out.print_line(f"{finding.state:<6}{finding.subject}: {finding.message}", style)
    out.json([{"subject": f.subject, "state": f.state, "message": f.message} for f in findings])
    faults = sum(finding.state == "fault" for finding in findings)
    summary = f"{faults} {'fault' if faults == 1 else 'faults'}" if faults else "no faults"
    out.print_note(summary, "red" if faults else "green")
    return EXIT_NO if faults else None
