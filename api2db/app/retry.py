"""
Dead rows on their way again, to the one stream that refused them or through the form; or gone.

Rows that a stream refused become a shard of that stream, which its worker delivers before
anything newer; the other streams have these rows. Three names say how far a letter has come,
so that a crash at any point neither loses nor doubles it::

    X.jsonl                    the letter
    X.jsonl and X.shard        the shard is written, and does not count yet
    X.retried and X.shard      the letter is none any more; the shard goes to its place
    X.retried                  the shard is at its place: nothing is left to do

Rows that did not fit the form become a batch of the log, for every stream. The checkpoint in
the same record names the letter: who finds it there only removes the file.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from api2db.app.source import make_form
from api2db.core.batch import Batch, Limit
from api2db.core.errors import Api2dbError
from api2db.core.faults import crash_point
from api2db.core.ids import new_id
from api2db.core.values import float_or_exact
from api2db.files.atomic import atomic_write, make_folder, sync_folder
from api2db.files.letters import RETRIED, letters
from api2db.files.shard import ShardDamaged, decode, encode
from api2db.ingest.checkpoint import Checkpoint
from api2db.ingest.chunk import Chunk
from api2db.ingest.form import Column, Form
from api2db.spool.spool import Record
from api2db.stream.spill import DAMAGED, SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from api2db.app.line import Line
    from api2db.core.ids import Timestamps
    from api2db.files.letters import Letter
    from api2db.stream.spill import Spill

SHARD = ".shard"


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of one letter: rows on their way, rows left, and why the first is left."""

    name: str
    rows: int
    left: int = 0
    reason: str = ""


def retry_stream(
    line: Line, stream: str, folder: Path, timestamps: Timestamps
) -> Iterator[Retried]:
    """
    Send the rows that *stream* refused again, letter by letter, oldest first.

    The owner of the STORE's lock calls this while no worker runs.

    Raises:
        Api2dbError: Batches of the stream wait in the log: a shard would overtake them; or
            each poll replaces all rows.
        OSError: The disk fails; what was yielded is done.
    """
    _not_replaced(line, [stream])
    spill = line.workers[stream].backlog.spilled
    _finish(folder, spill)
    if waiting := line.spool.depth(stream).batches:
        raise Api2dbError(
            f"{waiting} batches wait for {stream}, before which these rows came",
            hint="let them land first: api2db run --once",
        )
    columns = _columns(line)
    for letter in letters(folder):
        rows, why = _rows(letter, columns)
        if waits := _spilled(spill, letter):
            rows, why = None, waits
        if rows is None:  # all rows of a letter, or none: a letter is one batch
            yield Retried(letter.name, 0, len(letter.rows), why)
            continue
        batch = Batch(new_id(), 0, timestamps.next(), rows)
        with atomic_write(letter.path.with_suffix(SHARD)) as file:
            file.write(encode(batch, spill.origin))
        crash_point("retry.after_shard")
        letter.path.rename(letter.path.with_suffix(RETRIED))
        sync_folder(folder)
        crash_point("retry.after_rename")
        _finish(folder, spill)
        yield Retried(letter.name, batch.rows.num_rows)


def drop(folder: Path, line: Line | None, stream: str) -> Iterator[Retried]:
    """
    Remove dead rows, letter by letter, for good.

    Those of a batch that waits stay: the letter is what leaves them out when it lands. The owner
    of the STORE's lock calls this while no worker runs.

    Args:
        line: Of the collector; None where *stream* is none of its streams: nothing waits then.

    Raises:
        OSError, SpoolFailed: The disk fails; what was yielded is done.
    """
    for letter in letters(folder):
        why = _waits(line, stream, letter) if line else ""
        if why:
            yield Retried(letter.name, 0, len(letter.rows), why)
            continue
        letter.keep([])
        yield Retried(letter.name, len(letter.rows))


def _waits(line: Line, stream: str, letter: Letter) -> str:
    """Return what to do first if the batch of a letter has not landed; "" if it has."""
    oldest = line.spool.read(stream, Limit(1))
    if oldest and letter.name.isdecimal() and int(letter.name) >= oldest[0].timestamp_ns:
        return "their batch waits in the queue; let it land first: api2db run --once"
    return _spilled(line.workers[stream].backlog.spilled, letter)


def _spilled(spill: Spill, letter: Letter) -> str:
    """Return the same for a batch that would be a shard."""
    shard = spill.folder / f"{letter.name}{SUFFIX}"
    if shard.exists():
        return "their batch waits in upload_failed; let it land first: api2db replay --from failed"
    shard = shard.with_name(shard.name + DAMAGED)
    if shard.exists():
        return f"their batch waits in a damaged shard; mend it, or remove it: {shard}"
    return ""


def retry_form(line: Line, folder: Path) -> Iterator[Retried]:
    """
    Send rows that did not fit the form through it again, letter by letter, oldest first.

    Those that still do not fit stay. The owner of the STORE's lock calls this while no
    poller runs.

    Raises:
        Api2dbError: The log takes nothing, or each poll replaces all rows of a stream.
        OSError: The disk fails; what was yielded is done.
    """
    _not_replaced(line, line.config.to)
    # What came out of the body, or out of the function, is a row by itself.
    bare = replace(line.config, rows=None, pages=None, since=None)
    waiting = list(letters(folder))
    known = {letter.digest for letter in waiting}
    for letter in waiting:
        checkpoint = Checkpoint.from_bytes(line.spool.state)
        form = make_form(bare, checkpoint)
        values, left = _decoded(letter)
        built = form.parse(Chunk(values)).build()
        places = [i for i in range(len(letter.rows)) if i not in left]
        left |= {places[dead.row]: dead.reason for dead in built.dead}
        if built.rows.num_rows and letter.digest not in checkpoint.retried:
            done = tuple(sorted({letter.digest, *checkpoint.retried} & known))
            after = replace(checkpoint, form=form.memory, retried=done)
            hold = checkpoint.poll.first_seq if checkpoint.poll else None
            poll = new_id()
            line.spool.put(Record(built.rows, after.to_bytes(), poll, last=True, hold=hold))
            crash_point("retry.after_put")
        letter.keep([{**letter.rows[i], "reason": why} for i, why in sorted(left.items())])
        reason = next(iter(left.values()), "")
        yield Retried(letter.name, built.rows.num_rows, len(left), reason)


def _not_replaced(line: Line, streams: Iterable[str]) -> None:
    """Refuse to retry where a batch takes the place of all rows, and the next poll brings all."""
    for stream in streams:
        if line.config.to[stream].replace:
            raise Api2dbError(
                f"each poll replaces all rows of {stream}: dead ones cannot be added",
                hint="poll again, or 'dead drop' them",
            )


def _finish(folder: Path, spill: Spill) -> None:
    """Complete what a crash has left half done in *folder*."""
    if not folder.is_dir():
        return
    for shard in sorted(folder.glob(f"*{SHARD}")):
        if not shard.with_suffix(RETRIED).exists():
            shard.unlink()
            continue
        batch, _ = decode(shard.read_bytes())
        make_folder(spill.folder)
        shard.rename(spill.folder / f"{batch.timestamp_ns}{SUFFIX}")
        sync_folder(spill.folder)
        sync_folder(folder)
        crash_point("retry.after_move")
    for letter in folder.glob(f"*{RETRIED}"):
        letter.unlink()
    sync_folder(folder)


def half_sent_ns(folder: Path) -> int:
    """Return the greatest timestamp of a shard that waits in *folder*; no batch may get it."""
    found = [0]
    for shard in folder.glob(f"*{SHARD}"):
        with suppress(OSError, ShardDamaged):
            found.append(decode(shard.read_bytes())[0].timestamp_ns)
    return max(found)


def _columns(line: Line) -> list[Column]:
    """Return the columns of the collector's batches, as far as they are known."""
    memory = Checkpoint.from_bytes(line.spool.state).form.get("columns", {})
    declared = {column.name: column.type for column in line.config.columns or ()}
    types = {**declared, **memory}
    return [Column(name, type_) for name, type_ in types.items() if type_ != "null"]


def _rows(letter: Letter, columns: list[Column]) -> tuple[pa.RecordBatch | None, str]:
    """Return the rows of a letter as the batch that they were of; None, and why they are none."""
    contents, left = _decoded(letter)
    known = {column.name: column.type for column in columns}
    for content in contents:
        if not isinstance(content, dict):
            return None, "the row is no object"
        if unknown := content.keys() - known.keys():
            return None, f"there is no column {min(unknown)!r}"
        for name, value in content.items():
            if known[name] == "json" and isinstance(value, str):  # it was JSON, and is a text here
                with suppress(ValueError):
                    content[name] = _from_json(value)
    if left:
        return None, next(iter(left.values()))
    built = Form(rows=None, columns=columns).parse(Chunk(contents)).build()
    return (None, built.dead[0].reason) if built.dead else (built.rows, "")


def _decoded(letter: Letter) -> tuple[list[Any], dict[int, str]]:
    """Return the rows of a letter that are JSON, and where there is none, why."""
    values: list[Any] = []
    left: dict[int, str] = {}
    for i, row in enumerate(letter.rows):
        try:
            values.append(_from_json(row["content"]))
        except (ValueError, KeyError, TypeError) as exc:
            left[i] = f"the row is not JSON: {exc}"
    return values, left


def _from_json(text: str) -> Any:
    return json.loads(text, parse_float=float_or_exact)
