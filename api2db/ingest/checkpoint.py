"""What a collector must remember, stored with every record of its log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

from api2db.ingest.source import Request
from api2db.ingest.taken import Taken

if TYPE_CHECKING:
    from api2db.ingest.watermark import Value


@dataclass(frozen=True, slots=True)
class OpenPoll:
    """
    A poll that has records in the log but not its last page.

    Attributes:
        id: Names the poll in its records.
        next: The request at which it resumes.
        first_seq: Lowest sequence number that its records can have in the log.
        page: Pages done.
        sent: The `since` value that all its requests send.
        high: Greatest `since` value seen so far, this poll's pages included.
        left: Rows taken by earlier polls that this poll has not met again yet.
        kept: What `Checkpoint.taken` becomes when the poll ends.
        restart: The API refused to go on, or looped: begin again at the first page, and
            leave out the rows that the poll's records hold.
        mixed: Its records hold rows that a later run did not bring: of two states of the API.
    """

    id: str
    next: Request
    first_seq: int = 0
    page: int = 0
    sent: Value = None
    high: Value = None
    left: Taken = field(default_factory=Taken)
    kept: Taken = field(default_factory=Taken)
    restart: bool = False
    mixed: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON."""
        return {
            "id": self.id,
            "next": self.next.to_json(),
            "page": self.page,
            "sent": self.sent,
            "high": self.high,
            "left": self.left.to_json(),
            "kept": self.kept.to_json(),
            "first_seq": self.first_seq,
            "restart": self.restart,
            "mixed": self.mixed,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> OpenPoll:
        """Undo `to_json`."""
        return cls(
            **{
                **value,
                "next": Request.from_json(value["next"]),
                "left": Taken.from_json(value["left"]),
                "kept": Taken.from_json(value["kept"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """
    The state of a collector after one record.

    Attributes:
        since: Greatest `since` value seen by polls that ended, as the API wrote it.
        taken: Rows at or above the value that the next poll sends.
        form: Columns and types that the form remembers (`Form.memory`).
        poll: The poll under way, None between polls.
        retried: Dead letters whose rows are in the log again; their files may still be there.
        mark: What the user's function last yielded as its `Checkpoint`, a JSON value.
    """

    since: Value = None
    taken: Taken = field(default_factory=Taken)
    form: dict[str, Any] = field(default_factory=dict)
    poll: OpenPoll | None = None
    mark: Any = None
    retried: tuple[str, ...] = ()

    def with_poll(self, poll: OpenPoll | None, form: dict[str, Any]) -> Checkpoint:
        """Return the same checkpoint with *poll* under way; since and taken do not move."""
        return replace(self, poll=poll, form=form)

    def to_bytes(self) -> bytes:
        """Return the checkpoint as JSON."""
        value: dict[str, Any] = {
            "since": self.since,
            "taken": self.taken.to_json(),
            "form": self.form,
            "poll": self.poll.to_json() if self.poll else None,
        }
        if self.mark is not None:
            value["mark"] = self.mark
        if self.retried:
            value["retried"] = list(self.retried)
        try:
            return orjson.dumps(value)
        except TypeError:  # a `since` value beyond 64 bits
            return json.dumps(value).encode()

    @classmethod
    def from_bytes(cls, state: bytes) -> Checkpoint:
        """Undo `to_bytes`; no bytes are a fresh start."""
        if not state:
            return cls()
        value = json.loads(state)  # orjson would turn integers beyond 64 bits into floats
        poll = value["poll"]
        return cls(
            since=value["since"],
            taken=Taken.from_json(value["taken"]),
            form=value["form"],
            poll=OpenPoll.from_json(poll) if poll else None,
            mark=value.get("mark"),
            retried=tuple(value.get("retried", ())),
        )
