"""Options that all commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def common(command: F) -> F:
    """Give a subcommand `--config` and `--json`; both work before it and after it."""
    config = click.option(
        "--config",
        "-c",
        type=click.Path(path_type=Path),
        help="The configuration.  [default: config.yaml]",
    )
    as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    return config(as_json(command))


def settle(ctx: click.Context, config: Path | None, as_json: bool) -> tuple[Path, bool]:
    """Return `--config` and `--json`, wherever they stand."""
    return config or ctx.obj["config"], as_json or ctx.obj["as_json"]
