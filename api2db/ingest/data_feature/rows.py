"""The rows of a data point, and what plain paths find in them."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from api2db.ingest.form_path import walk

if TYPE_CHECKING:
    from api2db.ingest.form_path import Steps


class Rows:
    """
    Some rows; what their paths have in common is looked up once.

    Attributes:
        values: n decoded rows, as a rule dicts.
    """

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self._found: dict[Steps, list[Any]] = {(): values}

    def at(self, steps: Steps) -> list[Any]:
        """Return what lies at *steps* of each row (n values); None for nothing."""
        found = self._found.get(steps)
        if found is None:
            parents, step = self.at(steps[:-1]), steps[-1]
            found = self._found[steps] = _items(parents, step)
        return found


def _items(parents: list[Any], step: str | int) -> list[Any]:
    if set(map(type, parents)) <= ({dict} if isinstance(step, str) else {list}):
        try:
            return list(map(itemgetter(step), parents))
        except (KeyError, IndexError):
            pass  # some rows lack it
    return [walk(parent, (step,)) for parent in parents]
