"""The base of everything in a form that wraps a function of the user's."""

from __future__ import annotations

import pickle
from typing import Any


class BaseLam:
    """
    One step of a form: called with the data, it returns what `lam_wrap` makes of it.

    Steps can be pickled; those with a lambda only where the package ``dill`` is installed.
    """

    def __call__(self, lam_arg: Any) -> Any:
        """Return what `lam_wrap` makes of *lam_arg*."""
        return self.lam_wrap(lam_arg)

    def __getstate__(self) -> dict[str, bytes]:
        """Return the attributes, each pickled, functions without a name too."""
        dumps = _dumps()
        return {name: dumps(value) for name, value in self.__dict__.items()}

    def __setstate__(self, state: dict[str, bytes]) -> None:
        """Take the attributes of `__getstate__`."""
        self.__dict__ = {name: pickle.loads(value) for name, value in state.items()}  # noqa: S301 -- within a pickle already

    def lam_wrap(self, lam_arg: Any) -> Any:
        """Return the result of this step; each subclass has its own."""


def _dumps() -> Any:
    try:
        import dill
    except ImportError:
        return pickle.dumps  # names what it cannot pickle
    return dill.dumps
