"""Which values a column of a user's own type in PostgreSQL would take, but not keep."""

from __future__ import annotations

import re

_MODIFIER = re.compile(r"\([^)]*\)")
_TEXTS = ("character", "name", '"char"', "bit", "bpchar")
# The day of the load, and digits behind the microseconds.
_NO_INSTANT = r"({0} ~* 'now|today|tomorrow|yesterday' or {0} ~ '[.,][0-9]{{6}}[0-9]*[1-9]')"


def altered(value: str, sql: str, base: str) -> str | None:
    """
    Return a condition that is true if *value*, read as a column's type, is not what it was.

    PostgreSQL rounds, cuts off or drops a zone as it reads a text. None: a value of this type is
    kept or refused, as far as we know. Comparing is by meaning: 007 and 1.50 are numbers.

    Args:
        value: SQL of the value as sent, a text.
        sql: The column's type.
        base: The same, or what it stands for if it is a domain.
    """
    read, plain = f"({value}::{sql})", _MODIFIER.sub("", base)
    if base.endswith("[]"):
        pass
    elif plain in ("numeric", "real", "double precision", "oid"):
        return f"{value}::numeric is distinct from {read}::text::numeric"
    elif plain == "money":
        return f"{value}::numeric is distinct from {read}::numeric"
    elif plain.startswith(_TEXTS):
        return f"{value} is distinct from {read}::text"
    elif plain in ("timestamp without time zone", "date"):
        instant = f"{value}::timestamptz at time zone 'UTC'"
        return f"({instant} is distinct from {read} or {_NO_INSTANT.format(value)})"
    elif plain == "timestamp with time zone":
        instant = f"{value}::timestamptz"
        return f"({instant} is distinct from {read} or {_NO_INSTANT.format(value)})"
    elif plain == "time without time zone":
        span = f"{value}::interval is distinct from {read}::interval"
        return f"({span} or {_NO_INSTANT.format(value)})"
    return None if plain == base else f"{value}::{plain} is distinct from {read}"
