"""The `api2db` command. Each subcommand imports what it needs when it runs, not before."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from api2db import __version__
from api2db.core.errors import Api2dbError, ConfigError, StoreLocked
from api2db.install.cli_project import add, init, listing, remove
from api2db.install.cli_store import dead, spool
from api2db.install.options import common, settle

EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_LOCKED = 75
_EXITS = ((ConfigError, EXIT_CONFIG), (StoreLocked, EXIT_LOCKED))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    default=Path("config.yaml"),
    show_default=True,
    help="The configuration.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON where data is printed.")
@click.version_option(__version__, prog_name="api2db")
@click.pass_context
def cli(ctx: click.Context, config: Path, as_json: bool) -> None:
    """Collect from APIs, whatever happens behind it, and land every row once."""
    ctx.obj = {"config": config, "as_json": as_json}


@cli.command()
@click.option("--once", is_flag=True, help="Poll every collector once, deliver, and end.")
@click.option(
    "--timeout",
    default="5m",
    show_default=True,
    help="With --once: longest wait for the targets, such as 90s or 5m.",
)
@common
@click.pass_context
def run(ctx: click.Context, config: Path | None, as_json: bool, once: bool, timeout: str) -> None:
    """Run the daemon in the foreground."""
    from api2db.app import signals
    from api2db.install import process

    path, as_json = settle(ctx, config, as_json)
    process.loading()
    with signals.handled() as stop:  # before what is slow to import: a signal may come at once
        from api2db.install import run as command

        code = command.once(path, timeout, as_json, stop) if once else command.forever(path, stop)
    ctx.exit(code)


@cli.command()
@click.option(
    "--from",
    type=click.Choice(["failed"]),
    required=True,
    expose_value=False,
    help="failed: what was spilled into STORE/upload_failed, and what waits behind it.",
)
@click.option("--timeout", default="5m", show_default=True, help="Longest wait, as 90s or 5m.")
@common
@click.pass_context
def replay(ctx: click.Context, config: Path | None, as_json: bool, timeout: str) -> None:
    """Deliver what was collected before, in order, without polling; the daemon must not run."""
    from api2db.app import signals
    from api2db.install import process

    path, as_json = settle(ctx, config, as_json)
    process.loading()
    with signals.handled() as stop:
        from api2db.install import run as command

        code = command.once(path, timeout, as_json, stop, poll=False)
    ctx.exit(code)


@cli.command()
@click.option("--connect", is_flag=True, help="Also log in to every target and ask every API.")
@common
@click.pass_context
def check(ctx: click.Context, config: Path | None, as_json: bool, connect: bool) -> None:
    """Validate the configuration."""
    from api2db.install import check as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.check(path, connect=connect, as_json=as_json))


@cli.command()
@click.argument("collector")
@common
@click.pass_context
def preview(ctx: click.Context, config: Path | None, as_json: bool, collector: str) -> None:
    """Fetch once; show the rows, their types and the tables they would get. Writes nothing."""
    from api2db.install import preview as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.preview(path, collector, as_json=as_json))


@cli.command()
@click.option("--alive", is_flag=True, help="Only say, by the exit code, whether a daemon answers.")
@common
@click.pass_context
def status(ctx: click.Context, config: Path | None, as_json: bool, alive: bool) -> None:
    """Show collectors, streams and what waits, with the daemon running or not."""
    from api2db.install import status as command

    path, as_json = settle(ctx, config, as_json)
    ctx.exit(command.alive(path) if alive else command.status(path, as_json=as_json))


@cli.command()
def schema() -> None:
    """Print the JSON Schema of config.yaml, for editors."""
    import json

    from api2db.app.config import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


for command in (init, listing, add, remove, dead, spool):
    cli.add_command(command)


def main() -> None:
    """Run the command; turn errors into a line on stderr and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as exc:
        exc.show()
        code = exc.exit_code
    except Api2dbError as exc:
        code = failed(exc)
    sys.exit(code if isinstance(code, int) else 0)


def failed(error: Api2dbError) -> int:
    """Say on stderr what a command failed of, without secrets; return the exit code."""
    from api2db.app import log

    place = "" if isinstance(error, ConfigError) else "api2db: "
    click.echo(log.hidden(f"{place}{error}"), err=True)
    return next((code for kind, code in _EXITS if isinstance(error, kind)), EXIT_FAILED)
