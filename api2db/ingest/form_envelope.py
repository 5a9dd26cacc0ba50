"""Where the rows lie in a body, and the value from which the next page follows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from api2db.core.errors import FormError
from api2db.core.values import json_kind
from api2db.ingest.chunk import decoded, encode
from api2db.ingest.form_mend import Mended, as_utf8, mend
from api2db.ingest.form_shape import Shape, Uncompilable

if TYPE_CHECKING:
    from collections.abc import Callable

    from api2db.ingest.form_path import Path, Steps

Raw: TypeAlias = "msgspec.Raw | bytes"
#: Decodes a body into its typed rows and the value at `next`.
Decode: TypeAlias = "Callable[[bytes], tuple[list[Any], object]]"

_container = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])
_any = msgspec.json.Decoder()


@dataclass(slots=True)
class Rows:
    """
    The rows of one body, each as its JSON.

    Attributes:
        raws: The JSON of each row, as it was written (but see `mended`).
        next: The value from which the next page follows, None for none.
        mended: Set if the body was not JSON until some values were replaced in it.
        dead: Rows that are no JSON at all, and why.
    """

    raws: list[Raw]
    next: object = None
    mended: Mended | None = None
    dead: dict[int, str] = field(default_factory=dict)

    def raw(self, i: int) -> bytes:
        """Return the JSON of row *i*, as the API wrote it."""
        row = bytes(self.raws[i])
        return row if self.mended is None else self.mended.undo(row)


class Envelope:
    """
    Takes bodies apart.

    Args:
        rows: Path of the list of rows; None: the body is the list, or is one row.
        next: Path of the value from which the next page follows.
    """

    def __init__(self, rows: Path | None, next: Path | None) -> None:
        self._rows = rows
        self._next = next

    # -- the quick way ---------------------------------------------------------------

    def decoder(self, row_type: Any) -> Decode | None:
        """
        Return a function that decodes a body straight into a list of *row_type*.

        It raises ValueError or RecursionError if the body, or any row, is not like that;
        `split` then finds out why. None if the paths are not plain.
        """
        steps = () if self._rows is None else self._rows.steps
        if steps is None:
            return None
        if not steps:
            return self._bare_decoder(row_type)
        rows_type = list[row_type] | None
        following = self._next_leaves()
        if following is None:
            return None
        try:
            shape = Shape([(steps, rows_type), *((leaf, Any) for leaf in following)])
        except Uncompilable:
            return None
        decode = msgspec.json.Decoder(shape.type).decode

        def typed(body: bytes) -> tuple[list[Any], object]:
            envelope = [decode(body)]
            memo: dict[Steps, list[Any]] = {}
            rows = shape.pluck(envelope, steps, memo)[0]
            if rows is None:
                raise ValueError("no rows")
            found = [shape.pluck(envelope, leaf, memo)[0] for leaf in following]
            return rows, self._next_of(following, found)

        return typed

    def _bare_decoder(self, row_type: Any) -> Decode | None:
        if self._next is not None and not isinstance((self._next.steps or (0,))[0], str):
            return None
        decode = msgspec.json.Decoder(list[row_type]).decode
        return lambda body: (decode(body), None)  # a list has no keys, so no next

    def _next_leaves(self) -> list[Steps] | None:
        if self._next is None:
            return []
        if self._next.steps:
            return [self._next.steps]
        return None if self._next.roots is None else [(key,) for key in self._next.roots]

    def _next_of(self, leaves: list[Steps], found: list[Any]) -> object:
        if self._next is None or self._next.steps is not None:
            return found[0] if found else None
        parts = {leaf[0]: value for leaf, value in zip(leaves, found, strict=True)}
        return self._next.search(parts)

    # -- the general way -------------------------------------------------------------

    def split(self, body: bytes) -> Rows:
        """
        Return the rows of *body* as JSON, and the value of the next page.

        Raises:
            FormError: The body is not JSON, or has no list where the rows should be.
        """
        try:
            text = as_utf8(body)
        except UnicodeDecodeError as exc:
            raise FormError(f"the body is not {exc.encoding}", body=body) from exc
        try:
            return self._split(text, body)
        except RecursionError as exc:
            raise FormError("the body is nested too deeply", body=body) from exc
        except ValueError as exc:
            mended = mend(text)
            try:
                if mended is None:
                    raise _fault(text, exc, body) from exc
                rows = self._split(mended.body, body)
            except RecursionError as deep:
                raise FormError("the body is nested too deeply", body=body) from deep
            except ValueError:
                raise _fault(text, exc, body) from exc
        rows.mended = mended
        rows.dead = {
            i: f"the row holds {fault}, which JSON does not have"
            for i, row in enumerate(rows.raws)
            if (fault := mended.fault(bytes(row)))
        }
        if isinstance(rows.next, str) and mended.mark in rows.next.encode():
            raise FormError("the value of the next page is not JSON", body=body)
        return rows

    def _split(self, text: bytes, body: bytes) -> Rows:
        if self._rows is not None and self._rows.steps is None:
            return self._search(text, body)
        whole = _container_of(text)
        steps = self._rows.steps if self._rows is not None else None
        raws = descend(text, steps or ())
        rows = None if raws is None else _container_of(raws)
        if steps is None and isinstance(rows, dict):
            rows = [text.strip()]
        if not isinstance(rows, list):
            raise _no_rows(self._rows, raws, whole, body)
        return Rows(list(rows), self._next_in(text, whole, body))

    def _search(self, text: bytes, body: bytes) -> Rows:
        """Find the rows by an expression that is more than a plain path."""
        assert self._rows is not None
        value = decoded(text)
        try:
            rows = self._rows.search(value)
        except ValueError as exc:
            raise FormError(f"rows: {exc}", body=body, hint="check 'rows'") from exc
        if not isinstance(rows, list):
            found = None if rows is None else encode(rows)
            raise _no_rows(self._rows, found, _container_of(text), body)
        return Rows([encode(row) for row in rows], self._next_in(text, {}, body, value))

    def _next_in(self, text: bytes, whole: object, body: bytes, value: object = None) -> object:
        if self._next is None:
            return None
        roots = self._next.roots
        if value is None and roots is not None:
            found = whole if isinstance(whole, dict) else {}
            value = {key: decoded(found[key]) for key in roots if key in found}
        elif value is None:
            value = decoded(text)
        try:
            return self._next.search(value)
        except ValueError as exc:
            raise FormError(f"pages: {exc}", body=body, hint="check 'pages'") from exc


def descend(raw: Raw, steps: Steps) -> Raw | None:
    """Return the JSON at *steps* inside the JSON *raw*; None if nothing lies there."""
    for step in steps:
        container = _container_of(raw)
        if isinstance(step, str):
            found = container.get(step) if isinstance(container, dict) else None
        else:
            held = container if isinstance(container, list) else []
            found = held[step] if -len(held) <= step < len(held) else None
        if found is None:
            return None
        raw = found
    return raw


def _container_of(raw: Raw) -> dict[str, msgspec.Raw] | list[Any] | None:
    """Return an object or array with its values still as JSON; None for a scalar."""
    try:
        found: dict[str, msgspec.Raw] | list[Any] = _container.decode(raw)
    except msgspec.ValidationError:
        return None
    return found


def _no_rows(path: Path | None, raws: Raw | None, whole: object, body: bytes) -> FormError:
    """Say why there is no list of rows."""
    found = "missing or null" if raws is None else json_kind(_any.decode(raws))
    found = "missing or null" if found == "null" else found
    if path is None:
        hint = "name the list of rows with 'rows'"
        return FormError(f"the body is {found}, neither a list nor an object", body=body, hint=hint)
    keys = ", ".join(list(whole)[:10]) if isinstance(whole, dict) else ""
    hint = f"check 'rows'; the body's keys are: {keys}" if keys else "check 'rows'"
    return FormError(f"rows: {path.text!r} is {found}, not a list", body=body, hint=hint)


def _fault(text: bytes, exc: ValueError, body: bytes) -> FormError:
    """Say why *text* is no JSON."""
    start = text.lstrip()[:15].lower()
    if not start:
        return FormError("the body is empty", body=body)
    if start.startswith(b"<"):
        kind = (
            "HTML" if start.startswith((b"<!doctype html", b"<html", b"<head")) else "XML or HTML"
        )
        hint = "the address may lead to a login or error page"
        return FormError(f"the body is {kind}, not JSON", body=body, hint=hint)
    if "truncated" in str(exc):
        return FormError(f"the body is cut off: it ends at byte {len(text)}", body=body)
    reason = str(exc).removeprefix("JSON is malformed: ")
    return FormError(f"the body is not JSON: {reason}", body=body)


def decode_rows(rows: Rows) -> list[Any]:
    """Return the rows decoded; those that cannot be are None, and noted in `Rows.dead`."""
    values: list[Any] = []
    for i, raw in enumerate(rows.raws):
        try:
            values.append(None if i in rows.dead else _any.decode(raw))
        except (ValueError, RecursionError):
            values.append(_decode_odd(rows, i))
    return values


def _decode_odd(rows: Rows, i: int) -> Any:
    try:
        return decoded(rows.raws[i])
    except RecursionError:
        rows.dead[i] = "the row is nested too deeply"
    except UnicodeDecodeError:
        rows.dead[i] = "the row is not UTF-8"
    except ValueError as exc:
        reason = str(exc).removeprefix("JSON is malformed: ")
        rows.dead[i] = f"the row is not JSON: {reason}"
    return None
