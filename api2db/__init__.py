"""api2db: a daemon between APIs and databases. Every row lands once."""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; importing it would load `typing`
if TYPE_CHECKING:
    from api2db.ingest.function import Checkpoint

__all__ = ["Checkpoint", "__version__"]

__version__ = "2.0.0.dev0"


def __getattr__(name: str) -> object:
    """Import what is asked for, no sooner: `import api2db` loads nothing."""
    if name == "Checkpoint":
        from api2db.ingest.function import Checkpoint

        return Checkpoint
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
