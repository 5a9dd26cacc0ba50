"""The command `clist`: what `api2db list` shows."""

from __future__ import annotations

from pathlib import Path

from api2db.core.errors import Api2dbError
from api2db.install.collectors import listing


def clist() -> None:
    """Print the collectors of the project in the working directory; raises as `listing`."""
    listing(Path("config.yaml"), as_json=False)


def main() -> int:
    """Run `clist`; return the exit code."""
    from api2db.install.cli import failed

    try:
        clist()
    except Api2dbError as exc:
        return failed(exc)
    return 0
