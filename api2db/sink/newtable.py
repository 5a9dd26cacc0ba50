"""Tables that a delivery must have made itself: `if_exists="fail"`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.core.errors import SinkMisconfigured, SinkUnavailable
from api2db.files.atomic import atomic_write, make_folder

if TYPE_CHECKING:
    from api2db.sink.base import Delivery


def check_new(delivery: Delivery, *, exists: bool) -> None:
    """
    Allow a load into a table that was not there before *delivery*; note that it is ours.

    Called before the table is made. The note is durable before, so that a crash in between
    leaves a table that is ours.

    Args:
        exists: Whether the table is there now.

    Raises:
        SinkMisconfigured: Somebody else made it.
        SinkUnavailable: The note cannot be written.
    """
    note = delivery.must_be_new
    if note is None or note.exists():
        return
    if exists:
        raise SinkMisconfigured(
            f"the table {delivery.table} was there before, and if_exists is 'fail'",
            hint="drop or rename it, or use if_exists='append'; the rows wait",
        )
    try:
        make_folder(note.parent)
        with atomic_write(note) as file:
            file.write(f"{delivery.table}\n".encode())
    except OSError as exc:
        raise SinkUnavailable(f"cannot write {note}: {exc.strerror or exc}") from exc
