"""``${NAME}`` in values: the environment, files, systemd credentials."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from api2db.app.document import Place

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


class Interpolation:
    """
    Replaces references in values; ``$${`` stands for ``${``. What it puts in is not read again.

    Attributes:
        secrets: Every text that was put in.
        problems: Where and why a reference could not be replaced.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = env
        self.secrets: set[str] = set()
        self.problems: list[tuple[Place, str]] = []

    def apply(self, value: Any, place: Place = ()) -> Any:
        """Return *value* with the references in all its texts replaced; keys stay."""
        if isinstance(value, dict):
            return {key: self.apply(item, (*place, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, (*place, i)) for i, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return _REFERENCE.sub(lambda match: self._replace(match, place), value)
        return value

    def _replace(self, match: re.Match[str], place: Place) -> str:
        if match.group().startswith("$$"):
            return "${"
        reference = match.group(1)
        try:
            if reference is None:
                raise LookupError("'${' without its '}'; write $${ for the text '${'")
            text = self._look_up(reference)
        except LookupError as exc:
            self.problems.append((place, str(exc.args[0])))
            return ""
        self.secrets.add(text)
        return text

    def _look_up(self, reference: str) -> str:
        kinds: dict[str, Callable[[str], str]] = {"file": self._file, "cred": self._credential}
        kind, colon, rest = reference.partition(":")
        if colon and not rest.startswith("-") and kind in kinds:
            return kinds[kind](rest)
        variable = _VARIABLE.fullmatch(reference)
        if variable is None:
            raise LookupError(
                f"${{{reference}}} is not a reference; write ${{NAME}}, ${{NAME:-default}},"
                " ${file:PATH} or ${cred:NAME}"
            )
        name, default = variable.groups()
        found = self._env.get(name)
        if default is not None:
            return found or default  # as a shell reads ':-': an empty variable counts as unset
        if found is None:
            raise LookupError(
                f"the variable {name} is not set; export it, or write ${{{name}:-default}}"
            )
        return found

    def _file(self, path: str) -> str:
        file = self._folder / path
        try:
            return file.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise LookupError(f"cannot read the file {file}: {reason}") from exc

    def _credential(self, name: str) -> str:
        folder = self._env.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise LookupError(
                f"there is no credential {name}: not started by systemd with LoadCredential="
            )
        if os.sep in name:
            raise LookupError(f"{name!r} cannot be the name of a credential")
        return self._file(str(Path(folder, name)))
