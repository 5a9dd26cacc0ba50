"""api2db: a daemon between APIs and databases. Every row lands once."""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; importing it would load `typing`
if TYPE_CHECKING:
    from api2db.app.run import Run
    from api2db.ingest.function import Checkpoint

__all__ = ["Checkpoint", "Run", "__version__"]

__version__ = "2.0.0.dev0"

#: Where the names lie that users import from here.
_PUBLIC = {"Checkpoint": "api2db.ingest.function", "Run": "api2db.app.run"}


def __getattr__(name: str) -> object:
    """Import what is asked for, no sooner: `import api2db` loads nothing."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)
