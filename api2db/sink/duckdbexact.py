"""Which values a column of a user's own type in DuckDB would take, but not keep."""

from __future__ import annotations

import re

_MODIFIER = re.compile(r"\(.*\)")
_INTEGERS = frozenset(
    f"{sign}{name}"
    for sign in ("", "U")
    for name in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
)
_INSTANTS = frozenset({"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE"})
#: A number without the zeros that do not matter: 007 and 1.50 are 7 and 1.5.
_NUMBER = (
    "regexp_replace(regexp_replace(regexp_replace({0}, '^([+-]?)0+(\\d)', '\\1\\2'),"
    " '(\\.\\d*?)0+$', '\\1'), '\\.$', '')"
)


def altered(value: str, sql: str) -> str:
    """
    Return a condition that is true if *value*, read as type *sql*, is not what it was.

    DuckDB rounds, cuts off or drops a zone as it reads a text. Comparing is by meaning.

    Args:
        value: SQL of the value as sent, a text that is not NULL.
        sql: The column's type.
    """
    read, plain = f"try_cast({value} as {sql})", _MODIFIER.sub("", sql)
    lost = f"{read} is null"
    if plain in _INTEGERS:
        return f"({lost} or not regexp_matches({value}, '^\\s*[+-]?\\d+(\\.0*)?\\s*$'))"
    if plain == "FLOAT":
        return f"({lost} or {read}::DOUBLE is distinct from try_cast({value} as DOUBLE))"
    if plain == "DECIMAL":
        kept = f"{_NUMBER.format(f'{read}::VARCHAR')} = {_NUMBER.format(value)}"
        return f"({lost} or not {kept})"
    if plain in _INSTANTS:
        instant = f"try_cast({value} as TIMESTAMP WITH TIME ZONE)"
        finer = f"regexp_matches({value}, '[.,]\\d{{6}}\\d*[1-9]')"
        return f"({lost} or {read}::TIMESTAMPTZ is distinct from {instant} or {finer})"
    if sql.endswith("]") or plain in ("STRUCT", "MAP", "UNION"):
        same = f"json({value})::VARCHAR = to_json({read})::VARCHAR"
        return f"({lost} or not json_valid({value}) or not {same})"
    return lost
