"""`llm-router doctor`: finds faults of this installation and says what to do about each."""

import typer

from llm_router.cli.command import EXIT_NO, ApiKeyFile, ApiUrl, local_command
from llm_router.cli.output import Output
from llm_router.settings.loading import load_section
from llm_router.settings.store import ClientSettings


def register(app: typer.Typer) -> None:
    local_command(app, "doctor")(doctor)


async def doctor(
    out: Output, *, api_url: ApiUrl = None, api_key_file: ApiKeyFile = None
) -> int | None:
    """Check the database, the master key, each connection, LiveKit, speech and a call's process.

    Each active connection is asked one short question, which a cloud may charge for. Only the
    status of connections is changed. With --api-url the HTTP process there is checked instead.
    Exits with 1 if there is a fault.
    """
    from llm_router.cli import diagnostics  # noqa: PLC0415  takes a second; --help skips it

    findings = []
    if api_url or load_section(ClientSettings).patchbay_api_url:
        checks = diagnostics.check_over_http(api_url, api_key_file)
    else:
        checks = diagnostics.check_here()
    async for finding in checks:
        findings.append(finding)
        style = {"ok": "green", "note": "yellow", "fault": "red"}[finding.state]
        out.print_line(f"{finding.state:<6}{finding.subject}: {finding.message}", style)
    out.json([{"subject": f.subject, "state": f.state, "message": f.message} for f in findings])
    faults = sum(finding.state == "fault" for finding in findings)
    summary = f"{faults} {'fault' if faults == 1 else 'faults'}" if faults else "no faults"
    out.print_note(summary, "red" if faults else "green")
    return EXIT_NO if faults else None
