"""The command `pmake [NAME ...]`: what `api2db init` does, and `cadd` for each name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from api2db.core.errors import Api2dbError
from api2db.install.collector_add import cadd
from api2db.install.init import init

if TYPE_CHECKING:
    from collections.abc import Sequence


def pmake(apis: Sequence[str] | None = None) -> None:
    """Make the working directory a project; nothing is overwritten. Raises as `init`, `cadd`."""
    init(Path(), as_json=False)
    for name in apis or ():
        cadd(name)


def main() -> int:
    """Run `pmake` on the command line's arguments; return the exit code."""
    from api2db.install.cli import failed

    try:
        pmake(sys.argv[1:])
    except Api2dbError as exc:
        return failed(exc)
    return 0
