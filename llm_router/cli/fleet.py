"""`llm-router fleet up|status|down|watch`: model servers on spot instances, as connections."""

from typing import Annotated

import typer

from llm_router.cli.arguments import read_secret
from llm_router.cli.command import local_command
from llm_router.cli.output import Output

app = typer.Typer(
    help="Run model servers on spot instances of AWS; their connections come and go by themselves.",
    no_args_is_help=True,
)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the fleet, one for an account and region.")
]
Region = Annotated[str | None, typer.Option(help="Region; by default that of the environment.")]
Endpoint = Annotated[
    str | None, typer.Option(metavar="URL", help="Address of EC2's API, if not AWS's own.")
]


@local_command(app, "up")
async def up(
    out: Output,
    name: Name,
    *,
    template: Annotated[
        str, typer.Option(help="Launch template: its id (lt-...) or name. See docs/fleet.md.")
    ],
    max_hourly: Annotated[
        float, typer.Option(help="The most that all instances together may cost an hour, in USD.")
    ],
    size: Annotated[int, typer.Option(help="Number of instances.")] = 1,
    template_version: Annotated[str, typer.Option(help="Version of the template.")] = "$Default",
    instance_type: Annotated[
        list[str] | None,
        typer.Option(help="Type to choose from. Repeat it: more types are interrupted less often."),
    ] = None,
    subnet: Annotated[
        list[str] | None, typer.Option(help="Network to choose from. Repeat it for more zones.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model to ask for; by default the only one that is listed.")
    ] = "",
    port: Annotated[int, typer.Option(help="Port of the model server.")] = 8000,
    public: Annotated[
        bool, typer.Option("--public", help="Call the instances by their public addresses.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE", help="Where to read the servers' API key: ask, - or env:NAME."
        ),
    ] = None,
    pool: Annotated[str, typer.Option(help="Pool of the connections.")] = "default",
    priority: Annotated[int, typer.Option(help="Priority; lower values are tried first.")] = 0,
    region: Region = None,
    endpoint: Endpoint = None,
) -> None:
    """Start a fleet and run it until `fleet down` ends its instances.

    Ctrl-C ends this command alone: the instances run on, and cost money, until `fleet down`.

    Run it again to go on with a fleet: it finds its instances by their tags. An instance becomes a
    connection once its model has said a word; one that the cloud takes back is replaced, and calls
    leave it before.
    """
    from llm_router.cli import fleets  # noqa: PLC0415  takes a second; --help skips it

    spec = fleets.FleetSpec(
        name=name,
        template=template,
        template_version=template_version,
        size=size,
        max_hourly=max_hourly,
        instance_types=tuple(instance_type or ()),
        subnets=tuple(subnet or ()),
        model_name=model,
        port=port,
        address="public" if public else "private",
        api_key=read_secret(key, "the servers' API key") if key else None,
        pool=pool,
        priority=priority,
    )
    try:
        await fleets.run(spec, region, endpoint)
    finally:
        out.print_note(
            f"the instances of {name} still run, unless you ended them:"
            f" `llm-router fleet down {name}` ends them"
        )
    out.print_line(f"{name} has ended")


@local_command(app, "status")
async def status(
    out: Output, name: Name, *, region: Region = None, endpoint: Endpoint = None
) -> None:
    """Show a fleet's instances, what they cost, and what each launch template did in 30 days."""
    from llm_router.cli import fleets  # noqa: PLC0415  takes a second; --help skips it

    shown = await fleets.read_status(name, region, endpoint)
    out.json(shown)
    columns = ("connection", "instance", "state", "instance_type", "zone", "price", "reason")
    rows = [[row[column] for column in columns] for row in shown["instances"]]
    out.print_table(columns, rows, f"{name} has no instances")
    out.print_line(f"wanted: {shown['wanted']}; known prices: {shown['hourly']:.4f} an hour")
    uses = shown["templates"]
    measures = ("connections", "requests", "attempts", "failed", "resumes", "tokens_out")
    table = [[template, *(use[one] for one in measures)] for template, use in uses.items()]
    out.print_table(("template", *measures), table, "no launch template has served yet")


@local_command(app, "down")
async def down(
    out: Output,
    name: Name,
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait two minutes for replies under way.")
    ] = False,
    region: Region = None,
    endpoint: Endpoint = None,
) -> None:
    """Take a fleet out of calls and end all its instances. Returns once none is left.

    Connections stay, deactivated, with their statistics.
    """
    from llm_router.cli import fleets  # noqa: PLC0415  takes a second; --help skips it

    await fleets.end(name, region, endpoint, drain=not now)
    out.json({"ended": name})
    out.print_line(f"{name} has ended; nothing of it runs any more")


@local_command(app, "watch")
async def watch(
    out: Output,
    *,
    metadata: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of the metadata service.")
    ] = None,
    endpoint: Endpoint = None,
) -> None:
    """Pass the cloud's notices on. To be run on each instance itself, beside the model server.

    It writes them into a tag of the instance, where the fleet's controller reads them. Without it,
    a controller learns of interruptions too, but of no rebalance recommendation.
    """
    from llm_router.cli import fleets  # noqa: PLC0415  takes a second; --help skips it

    notice = await fleets.watch(metadata, endpoint)
    out.json({"notice": notice})
    out.print_line(f"passed on: {notice}")
