"""
The one type table: our names, Arrow types, SQL names. `widening` says which holds which.

A column's type is one of eight kinds. Inside the program it is an Arrow type; in a user's
``columns`` and in a form's memory it is a name::

    int       int64                  float     float64
    bool      bool                   str       string
    datetime  timestamp[us, UTC]     date      date32
    json      arrow.json (string)    decimal   decimal128(38, 9); see `decimal_for`

A decimal with another precision is spelled with it: ``decimal(76,38)``.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

import pyarrow as pa

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

Dialect: TypeAlias = Literal[
    "postgresql", "sqlite", "mysql", "duckdb", "bigquery", "omnisci", "oracle", "mssql", "siridb"
]

#: The Arrow type of a column that holds any JSON value, as its text.
JSON = pa.json_(pa.string())

#: Integers up to this size are exact in a float64.
EXACT_INT = 2**53

_ARROW: dict[str, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "str": pa.string(),
    "datetime": pa.timestamp("us", "UTC"),
    "date": pa.date32(),
    "decimal": pa.decimal128(38, 9),
    "json": JSON,
}

#: Every name that ``columns`` accepts.
NAMES: tuple[str, ...] = tuple(_ARROW)


def _row(*names: str) -> dict[str, str]:
    """Return what a dialect calls each of `NAMES`."""
    return dict(zip(NAMES, names, strict=True))


_SQL: dict[str, dict[str, str]] = {
    "postgresql": {
        "int": "bigint",
        "float": "double precision",
        "bool": "boolean",
        "str": "text",
        "datetime": "timestamp with time zone",
        "date": "date",
        "decimal": "numeric",
        "json": "jsonb",
    },
    # TEXT where another name would give a column NUMERIC affinity and turn '007' into 7.
    "sqlite": {
        "int": "INTEGER",
        "float": "REAL",
        "bool": "BOOLEAN",
        "str": "TEXT",
        "datetime": "TEXT",
        "date": "TEXT",
        "decimal": "TEXT",
        "json": "TEXT",
    },
    "mysql": {
        "int": "bigint",
        "float": "double",
        "bool": "tinyint(1)",
        "str": "longtext",
        "datetime": "datetime(6)",
        "date": "date",
        "decimal": "decimal({precision},{scale})",
        "json": "json",
    },
    "duckdb": {
        "int": "BIGINT",
        "float": "DOUBLE",
        "bool": "BOOLEAN",
        "str": "VARCHAR",
        "datetime": "TIMESTAMP WITH TIME ZONE",
        "date": "DATE",
        "decimal": "DECIMAL({precision},{scale})",
        "json": "JSON",
    },
    "bigquery": _row(
        *("INT64", "FLOAT64", "BOOL", "STRING", "TIMESTAMP", "DATE"),
        *("BIGNUMERIC({precision},{scale})", "JSON"),
    ),
    "omnisci": _row(
        *("BIGINT", "DOUBLE", "BOOLEAN", "TEXT ENCODING DICT(32)", "TIMESTAMP(6)", "DATE"),
        *("DECIMAL({precision},{scale})", "TEXT ENCODING DICT(32)"),
    ),
    "oracle": _row(
        *("NUMBER(19)", "BINARY_DOUBLE", "NUMBER(1)", "CLOB"),
        *("TIMESTAMP(6) WITH TIME ZONE", "DATE", "NUMBER({precision},{scale})", "CLOB"),
    ),
    "siridb": _row("integer", "float", "integer", *["string"] * 5),
    "mssql": _row(
        *("bigint", "float(53)", "bit", "nvarchar(max)"),
        *("datetimeoffset(6)", "date", "decimal({precision},{scale})", "nvarchar(max)"),
    ),
}
#: Most digits, and most digits behind the point, that a dialect's decimals can have.
_DECIMAL_LIMIT = {
    "mysql": (65, 30),
    "duckdb": (38, 38),
    "bigquery": (76, 38),
    "omnisci": (18, 17),
    "oracle": (38, 38),
    "mssql": (38, 38),
}
#: BigQuery's smaller decimal, which has one size, and most digits before the point of the larger.
_NUMERIC, _BIGNUMERIC_WHOLE = (38, 9), 38

#: (precision, scale) of the decimals that we make, from narrow to wide.
_DECIMALS = ((38, 0), (38, 9), (38, 18), (76, 0), (76, 9), (76, 18), (76, 38))
_DECIMAL_NAME = re.compile(r"decimal\((\d{1,2}),(\d{1,2})\)", re.ASCII)


def arrow_type(name: str) -> pa.DataType:
    """
    Return the Arrow type of a type's name.

    Raises:
        ConfigError: There is no such type.
    """
    found = _ARROW.get(name)
    if found is not None:
        return found
    match = _DECIMAL_NAME.fullmatch(name)
    if match is None:
        raise ConfigError(f"{name!r} is not a type", hint=f"use one of {', '.join(NAMES)}")
    return _decimal(int(match[1]), int(match[2]))


def kind_of(type_: pa.DataType) -> str:
    """
    Return the kind of an Arrow type: one of `NAMES`.

    Narrow integers and floats, large strings and other timestamps have the kind that
    holds all their values.

    Raises:
        ConfigError: No kind holds it (binary, list, struct, duration ...).
    """
    if type_ == JSON:
        return "json"
    for is_kind, kind in _KINDS:
        if is_kind(type_):
            return kind
    raise ConfigError(
        f"Arrow type {type_} has no place in a target",
        hint=f"convert the column to one of {', '.join(NAMES)}",
    )


def _is_int(type_: pa.DataType) -> bool:
    return pa.types.is_integer(type_) and type_ != pa.uint64()


def _is_text(type_: pa.DataType) -> bool:
    return (
        pa.types.is_string(type_)
        or pa.types.is_large_string(type_)
        or pa.types.is_string_view(type_)
    )


_KINDS: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (_is_int, "int"),
    (pa.types.is_floating, "float"),
    (pa.types.is_boolean, "bool"),
    (_is_text, "str"),
    (pa.types.is_timestamp, "datetime"),
    (pa.types.is_date, "date"),
    (pa.types.is_decimal, "decimal"),
)


def name_of(type_: pa.DataType) -> str:
    """Return the name of an Arrow type; `arrow_type` undoes it. Raises as `kind_of`."""
    kind = kind_of(type_)
    if kind == "decimal" and type_ != _ARROW["decimal"]:
        precision, scale = digits_of(type_)
        return f"decimal({precision},{scale})"
    return kind


def names_of(schema: pa.Schema) -> dict[str, str]:
    """Return the types of all columns but those of which only the values can tell."""
    found = {}
    for field in schema:
        with suppress(ConfigError):
            found[field.name] = name_of(field.type)
    return found


def sql_type(type_: pa.DataType, dialect: Dialect) -> str:
    """
    Return the natural SQL type of an Arrow type, as in ``create table``.

    Decimals with more digits than the dialect's have its text type. Raises as `kind_of`.
    """
    names, kind = _SQL[dialect], kind_of(type_)
    if kind != "decimal" or "{" not in names[kind]:
        return names[kind]
    precision, scale = digits_of(type_)
    most, most_scale = _DECIMAL_LIMIT[dialect]
    if precision > most or scale > most_scale:
        return names["str"]
    if dialect == "bigquery" and (precision, scale) == _NUMERIC:
        return f"NUMERIC({precision},{scale})"
    if dialect == "bigquery" and precision - scale > _BIGNUMERIC_WHOLE:
        return names["str"]
    return names[kind].format(precision=precision, scale=scale)


# -- decimals --------------------------------------------------------------------------


def decimal_for(whole: int, scale: int, *, least_scale: int = 0) -> pa.DataType | None:
    """
    Return the narrowest decimal type with *whole* digits before and *scale* behind the point.

    Few types are made, so that a column rarely changes: precision 38 or 76, scale 0, 9, 18
    or 38, never below *least_scale*. None if even 76 digits do not do.
    """
    scale = max(scale, least_scale)
    for precision, places in _DECIMALS:
        if places >= scale and precision - places >= whole:
            return _decimal(precision, places)
    return None


def _decimal(precision: int, scale: int) -> pa.DataType:
    if not 0 < precision <= 76 or scale > precision:
        raise ConfigError(f"decimal({precision},{scale}) is not a type", hint="use 'decimal'")
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


def digits_of(type_: pa.DataType) -> tuple[int, int]:
    """Return how many digits a decimal has, and how many of them behind the point."""
    assert pa.types.is_decimal(type_)
    return type_.precision, type_.scale
