"""Names of series: table, tags and column in one text, from which each can be told again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Between the parts of a name.
SEPARATOR = "|"
#: Longest name that the server takes, in bytes.
LONGEST = 65_534

#: What no part may hold as it is: what separates parts, and what the server cuts or shows badly.
_ESCAPED = re.compile(r"[%|=\x00-\x1f\x7f]")


def escape(part: str) -> str:
    """Return *part* with what separates parts, and control characters, as ``%XX``."""
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", part)


def series_name(table: str, tags: Sequence[tuple[str, str]], column: str) -> str:
    """Return ``table|tag=value|column``, all escaped."""
    return SEPARATOR.join((*parts_of(table, tags), escape(column)))


def parts_of(table: str, tags: Iterable[tuple[str, str]]) -> list[str]:
    """Return what stands before the column."""
    return [escape(table), *(f"{escape(tag)}={escape(value)}" for tag, value in tags)]


def beside(name: str, type_: str) -> str:
    """Return the name of the series next to *name* whose values are of *type_*."""
    return f"{name}{SEPARATOR}{type_}"


def quote(name: str) -> str:
    """Return *name* as it stands in a query."""
    return '"' + name.replace('"', '""') + '"'


def table_pattern(table: str) -> str:
    """Return the regular expression, as of a query, of all series of *table*."""
    return f"/^{_literal(escape(table))}\\|.*$/"


def column_pattern(table: str, column: str) -> str:
    """Return the same of the series of one column of *table*, whatever its tags and types."""
    tags = r"\|(?:[^|]*=[^|]*\|)*"
    types = r"(?:\|(?:integer|float|string))?"
    return f"/^{_literal(escape(table))}{tags}{_literal(escape(column))}{types}$/"


def _literal(text: str) -> str:
    return re.escape(text).replace("/", r"\/")
