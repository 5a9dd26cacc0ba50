"""The rows of a data point, and what plain paths find in them."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

from api2db.ingest.form_path import walk

if TYPE_CHECKING:
    from api2db.ingest.form_path import Step, Steps


class Rows:
    """
    Some rows; what their paths have in common is looked up once.

    Attributes:
        values: n decoded rows, as a rule dicts.
    """

    def __init__(self, values: list[Any]) -> None:
        self.values = values
        self._found: dict[Steps, list[Any]] = {(): values}
        self._lists: dict[Steps, bool] = {}

    def at(self, steps: Steps) -> list[Any]:
        """Return what lies at *steps* of each row (n values); None for nothing."""
        found = self._found.get(steps)
        if found is None:
            found = self._found[steps] = self._items(steps[:-1], steps[-1])
        return found

    def _items(self, above: Steps, step: Step) -> list[Any]:
        parents = self.at(above)
        if isinstance(step, str) or self._are_lists(above):
            try:
                return list(map(itemgetter(step), parents))
            except (KeyError, IndexError, TypeError):
                pass  # some rows lack it, or have something else there
        return [walk(parent, (step,)) for parent in parents]

    def _are_lists(self, steps: Steps) -> bool:
        """Return whether a list lies at *steps* of each row; a text has items too."""
        if steps not in self._lists:
            self._lists[steps] = set(map(type, self.at(steps))) <= {list}
        return self._lists[steps]
