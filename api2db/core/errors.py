"""
Every error that api2db raises on purpose.

::

    Api2dbError(message, *, hint)   hint = what a person should type or do next
    ├── ConfigError                 the configuration cannot be used (exit 2)
    ├── StoreLocked                 another daemon owns the STORE (exit 75)
    ├── SourceError                 this page cannot be had; the poll fails
    │   ├── SourceUnavailable       ... for now: resumed at the same request
    │   ├── RequestRefused          ... the API refuses this very request (4xx)
    │   ├── PageLoop                ... pages repeat or never end
    │   └── FormError               ... the body is not what the config says
    ├── FileUnreadable              a file is not what its name says
    ├── SpoolError
    │   ├── SpoolFull               quota or disk: nothing was taken
    │   └── SpoolFailed             the disk failed: nothing was taken
    └── SinkError                   the four kinds, decided by the sink's edge
        ├── SinkUnavailable         transient: close, wait, open, write again
        ├── SinkRejected            data: some rows will never be taken
        ├── SinkMisconfigured       configuration: pause, say so, try again
        └── SinkUnknown             outcome unknown: reconnect, the marker decides
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api2db.core.batch import DeadRow


class Api2dbError(Exception):
    """Base of every error that api2db raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}; {self.hint}" if self.hint else message


class ConfigError(Api2dbError, ValueError):
    """The configuration cannot be used; the message holds one line per mistake."""


class StoreLocked(Api2dbError):
    """Another process holds the STORE."""


class SourceError(Api2dbError):
    """A page could not be had. The poll fails; its checkpoint stays."""


class SourceUnavailable(SourceError):
    """
    The API cannot be reached, is overloaded, or answers with an error of its own.

    Attributes:
        retry_after: Seconds that the API asked us to wait, None if it did not.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RequestRefused(SourceError):
    """
    The API refuses this very request, and will again (4xx but 408, 425, 429).

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, message: str, *, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class PageLoop(SourceError):
    """A cursor or body came twice, or there are more pages than ``max_pages``."""


class FormError(SourceError):
    """
    The body is not what the configuration says.

    Attributes:
        body: The bytes that could not be used, kept in ``_responses`` by the poll.
    """

    def __init__(self, message: str, *, body: bytes = b"", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.body = body


class FileUnreadable(Api2dbError):
    """A file of rows is damaged, or is not in the format that its name says."""


class SpoolError(Api2dbError):
    """The durable queue could not do what was asked."""


class SpoolFull(SpoolError):
    """The quota or the disk is full. Nothing was taken; acknowledging still works."""


class SpoolFailed(SpoolError):
    """Writing or syncing failed. Nothing was taken."""


class SinkError(Api2dbError):
    """
    A target did not take a load.

    Attributes:
        kind: One of the four, as it is counted.
    """

    kind: ClassVar[str] = "unknown"


class SinkUnavailable(SinkError):
    """
    Transient: the target cannot be reached or asked us to come back.

    Attributes:
        retry_after: Seconds that the target asked us to wait, None if it did not.
    """

    kind = "transient"

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class SinkRejected(SinkError):
    """
    Data: the target will never take some rows of this load. Nothing was committed.

    Attributes:
        rows: Batch id -> the rows that are refused, where the sink knows them.
            Empty if it does not: the worker then bisects.
    """

    kind = "data"

    def __init__(
        self,
        message: str,
        *,
        rows: Mapping[str, Sequence[DeadRow]] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.rows = dict(rows or {})


class SinkMisconfigured(SinkError):
    """Configuration: no batch can land until a person mends the target or the config."""

    kind = "configuration"


class SinkUnknown(SinkError):
    """The connection broke around COMMIT, or an error nobody has seen before."""
