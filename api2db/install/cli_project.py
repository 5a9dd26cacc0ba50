"""Commands that write the project folder and its collectors."""

from __future__ import annotations

from pathlib import Path

import click

from api2db.install.options import common, settle


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def init(ctx: click.Context, folder: Path, as_json: bool) -> None:
    """Write a project into DIR: a configuration that runs, collectors/, AUTH/."""
    from api2db.install import init as command

    ctx.exit(command.init(folder, as_json=as_json or ctx.obj["as_json"]))


@click.command("list")
@common
@click.pass_context
def listing(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Show the collectors: what they ask, when, and where the rows go."""
    from api2db.install import collectors as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.listing(path, as_json=as_json))


@click.command()
@click.argument("name")
@click.option("--get", help="URL of an API; without it a function in collectors/NAME.py.")
@click.option("--rows", help="With --get: JMESPath of the list of rows.")
@click.option("--every", default="5m", show_default=True, help="Interval between polls.")
@click.option("--to", multiple=True, help="Stream; may be given more than once. [default: all]")
@common
@click.pass_context
def add(
    ctx: click.Context,
    config: Path | None,
    as_json: bool,
    name: str,
    get: str | None,
    rows: str | None,
    every: str,
    to: tuple[str, ...],
) -> None:
    """Add the collector NAME to the configuration; the rest of the file stays as it is."""
    from api2db.install import collectors as command

    path, as_json = settle(ctx, config, as_json)
    entry = command.Entry(name, get, rows, every, to)
    ctx.exit(command.add(path, entry, as_json=as_json))


@click.command()
@click.argument("name")
@common
@click.pass_context
def remove(ctx: click.Context, config: Path | None, as_json: bool, name: str) -> None:
    """Take the collector NAME out of the configuration; its data and its module stay."""
    from api2db.install import collectors as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.remove(path, name, as_json=as_json))
