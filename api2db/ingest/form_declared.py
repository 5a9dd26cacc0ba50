"""The form that the user wrote down: `columns`, each with a type and a path."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from api2db.core.casting import cast
from api2db.core.errors import ConfigError
from api2db.core.types import JSON, arrow_type, kind_of, name_of
from api2db.core.values import exact_number, json_kind
from api2db.ingest.chunk import encode, holds_infinity
from api2db.ingest.form_convert import Converted, convert
from api2db.ingest.form_envelope import descend
from api2db.ingest.form_path import Path
from api2db.ingest.form_shape import Shape, Uncompilable
from api2db.ingest.form_table import LEAF, SINCE_LEAF, LooseRows, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api2db.ingest.form_convert import Array
    from api2db.ingest.form_path import Steps

_exact = msgspec.json.Decoder(float_hook=exact_number).decode


@dataclass(frozen=True, slots=True)
class Column:
    """
    A column that the user declared.

    Attributes:
        name: Of the column in the target.
        type: One of `core.types.NAMES`.
        path: JMESPath on the raw row. Empty, or equal to the name: the key of that name,
            whatever characters it is made of.
        default: Value where the row has none, or null; None for NULL.
        required: Whether a row without a value is a dead letter.
    """

    name: str
    type: str
    path: str = ""
    default: object = None
    required: bool = False


class _Declared:
    """A column, compiled."""

    def __init__(self, column: Column, remembered: Mapping[str, str]) -> None:
        self.name = column.name
        self.type = arrow_type(column.type)
        self.kind = kind_of(self.type)
        if self.kind == "decimal" and remembered.get(column.name, "").startswith("decimal"):
            self.type = arrow_type(remembered[column.name])
        self.required = column.required
        by_key = not column.path or column.path == column.name
        self.path = Path.key(column.name) if by_key else Path(column.path)
        self.default = None if column.default is None else self._default(column.default)

    def _default(self, value: object) -> Array:
        """Return the default as an array of one value."""
        if self.kind == "json":
            value = encode(value)
        elif isinstance(value, date):
            value = value.isoformat()
        converted = convert(self.type, [value])
        for why in converted.misfits.values():
            raise ConfigError(f"columns.{self.name}: the default {value!r} {why}")
        return converted.array

    def finish(self, converted: Converted, table: Table) -> None:
        """Fill in the default, see to what is required, and add the column to *table*."""
        array, misfits = converted.array, converted.misfits
        if self.kind == "decimal":
            self.type = array.type
        if array.null_count and self.default is not None:
            array = _fill(array, cast(self.default, array.type))
        elif array.null_count and self.required:
            missing: Any = pc.indices_nonzero(array.is_null()).to_pylist()
            misfits = dict.fromkeys(missing, "is missing or null, and required") | misfits
        table.columns[self.name] = array
        table.bury(self.name, misfits)


def _fill(array: Array, default: Array) -> Array:
    if isinstance(array, pa.ExtensionArray):
        assert isinstance(default, pa.ExtensionArray)
        return pa.ExtensionArray.from_storage(JSON, _fill(array.storage, default.storage))
    return pc.fill_null(array, default[0])


class Declared:
    """
    A plan with fixed columns.

    Keys of the row that no column names are left out. Decimals alone remember something:
    how many digits they have needed.

    Raises:
        ConfigError: A type, path or default is wrong, or a name comes twice.
    """

    def __init__(
        self, columns: Sequence[Column], since: Path | None, remembered: Mapping[str, str]
    ) -> None:
        if not columns:
            raise ConfigError("columns: there is none", hint="leave 'columns' out to infer them")
        self._columns = [_Declared(column, remembered) for column in columns]
        names = [column.name for column in columns]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"columns.{name}: comes twice")
        self._exact = any(column.kind == "decimal" for column in self._columns)
        self._roots = _row_kinds([column.path for column in self._columns])
        self.shape = self._compile(since)

    def memory(self) -> dict[str, Any]:
        """Return ``{columns: {name: type}}`` of the decimal columns."""
        decimals = [column for column in self._columns if column.kind == "decimal"]
        return {"columns": {column.name: name_of(column.type) for column in decimals}}

    def expect(self, types: Mapping[str, str]) -> None:
        """Do nothing: the columns are declared."""

    def _compile(self, since: Path | None) -> Shape | None:
        leaves: list[tuple[Steps, Any]] = []
        for column in self._columns:
            if column.path.steps is None:
                return None
            leaves.append((column.path.steps, LEAF[column.kind]))
        try:
            shape = Shape(leaves)
        except Uncompilable:
            return None
        if since is not None and since.steps and since.steps not in dict(leaves):
            try:
                return Shape([*leaves, (since.steps, SINCE_LEAF)])
            except Uncompilable:
                return shape  # read apart
        return shape

    def since(self, items: list[Any], path: Path) -> list[Any] | None:
        """Return the values at *path*, if the shape holds them as the JSON does."""
        if self.shape is None or path.steps is None:
            return None
        if self.shape.leaf(path.steps) in (SINCE_LEAF, LEAF["int"], LEAF["float"], LEAF["str"]):
            return self.shape.pluck(items, path.steps, {})
        return None

    def typed(self, items: list[Any]) -> Table:
        """Return the columns of decoded rows."""
        assert self.shape is not None
        table = Table({}, len(items))
        memo: dict[Steps, list[Any]] = {}
        for column in self._columns:
            assert column.path.steps is not None
            values = self.shape.pluck(items, column.path.steps, memo)
            column.finish(convert(column.type, values, typed=True), table)
        return table

    def arrow(self, table: pa.Table) -> None:
        """Return None: the paths of the columns go into rows."""

    def loose(self, rows: LooseRows) -> Table:
        """Return the columns of any rows: the same result, several times as slow."""
        table = Table({}, len(rows.values))
        exact = [_exact(raw) for raw in rows.raws] if self._exact else rows.values
        for column in self._columns:
            values, errors = _search(column, rows, exact)
            converted = convert(column.type, values)
            converted.misfits.update(errors)
            column.finish(converted, table)
        if self._roots is not None:
            for i, value in enumerate(rows.values):
                if type(value) not in self._roots:
                    wanted = " or ".join(json_kind(kind()) for kind in self._roots)
                    table.dead[i] = f"the row is {json_kind(value)}, not {wanted}"
        return table


def _search(
    column: _Declared, rows: LooseRows, exact: list[Any]
) -> tuple[list[Any], dict[int, str]]:
    """Return the values of one column, and where its expression fails, why."""
    steps = column.path.steps
    if column.kind == "json" and steps is not None:
        found = (descend(raw, steps) for raw in rows.raws)
        return [b"null" if raw is None else bytes(raw) for raw in found], _infinite(column, rows)
    values: list[Any] = []
    errors = _infinite(column, rows) if column.kind == "json" else {}
    for i, row in enumerate(exact if column.kind == "decimal" else rows.values):
        try:
            value = column.path.search(row)
        except ValueError as exc:
            errors[i] = f"cannot be computed: {exc}"
            value = None
        values.append(encode(value) if column.kind == "json" else value)
    return values, errors


def _infinite(column: _Declared, rows: LooseRows) -> dict[int, str]:
    """Return the rows of Python code of which a JSON column would get an infinite number."""
    found = {}
    for i, row in enumerate(rows.values):
        if type(row) is dict and (inf in row.values() or -inf in row.values()):
            with suppress(ValueError):
                if holds_infinity(column.path.search(row)):
                    found[i] = "is or holds an infinite number, which JSON does not have"
    return found


def _row_kinds(paths: list[Path]) -> set[type] | None:
    """Return what a row must be so that a path can find anything; None for no matter what."""
    kinds: set[type] = set()
    for path in paths:
        if not path.steps:
            return None
        kinds.add(dict if isinstance(path.steps[0], str) else list)
    return kinds
