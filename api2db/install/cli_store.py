"""Commands that look into the STORE: dead letters and queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from api2db.install.options import common, settle

if TYPE_CHECKING:
    from pathlib import Path


@click.group()
def dead() -> None:
    """Rows that could not land: list, show, retry, drop."""


@dead.command("list")
@common
@click.pass_context
def dead_list(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Show how many rows are dead, where, and why the newest is."""
    from api2db.install import dead as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.listing(path, as_json=as_json))


@dead.command("show")
@click.argument("collector")
@click.argument("stream", required=False)
@click.option("--limit", default=20, show_default=True, help="Rows to show; 0 for all.")
@common
@click.pass_context
def dead_show(
    ctx: click.Context,
    config: Path | None,
    as_json: bool,
    collector: str,
    stream: str | None,
    limit: int,
) -> None:
    """Show dead rows and their reasons. STREAM _rows: those that did not fit the form."""
    from api2db.install import dead as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.show(path, collector, stream, limit=limit, as_json=as_json))


@dead.command("retry")
@click.argument("collector")
@click.argument("stream", required=False)
@common
@click.pass_context
def dead_retry(
    ctx: click.Context, config: Path | None, as_json: bool, collector: str, stream: str | None
) -> None:
    """Send dead rows again, once, to the stream that refused them; the daemon must not run."""
    from api2db.install import dead as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.retry(path, collector, stream, as_json=as_json))


@dead.command("drop")
@click.argument("collector")
@click.argument("stream", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
@common
@click.pass_context
def dead_drop(
    ctx: click.Context,
    config: Path | None,
    as_json: bool,
    collector: str,
    stream: str | None,
    yes: bool,
) -> None:
    """Remove dead rows for good; the daemon must not run."""
    from api2db.install import dead as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.drop(path, collector, stream, yes=yes, as_json=as_json))


@click.group()
def spool() -> None:
    """The durable queues: inspect, verify."""


@spool.command("inspect")
@click.argument("collector", required=False)
@common
@click.pass_context
def spool_inspect(
    ctx: click.Context, config: Path | None, as_json: bool, collector: str | None
) -> None:
    """Show the segments and cursors of the queues; changes nothing."""
    from api2db.install import spool as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.inspect(path, collector, as_json=as_json))


@spool.command("verify")
@click.argument("collector", required=False)
@common
@click.pass_context
def spool_verify(
    ctx: click.Context, config: Path | None, as_json: bool, collector: str | None
) -> None:
    """Read every record and check its checksum; changes nothing."""
    from api2db.install import spool as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.inspect(path, collector, as_json=as_json, verify=True))
