"""What an error of DuckDB means for a load."""

from __future__ import annotations

import re

import duckdb

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)

#: Class of duckdb -> kind. A class that is not here has the kind of its nearest base.
CLASSES: dict[type[BaseException], type[SinkError]] = {
    # another transaction, another process, the disk, the memory, or our watchdog
    duckdb.TransactionException: SinkUnavailable,
    duckdb.IOException: SinkUnavailable,
    duckdb.OutOfMemoryException: SinkUnavailable,
    duckdb.InterruptException: SinkUnavailable,
    duckdb.HTTPException: SinkUnavailable,
    duckdb.OperationalError: SinkUnavailable,
    # a value
    duckdb.ConstraintException: SinkRejected,
    duckdb.ConversionException: SinkRejected,
    duckdb.OutOfRangeException: SinkRejected,
    duckdb.TypeMismatchException: SinkRejected,
    duckdb.DataError: SinkRejected,
    duckdb.IntegrityError: SinkRejected,
    # the table, the file, a right
    duckdb.BinderException: SinkMisconfigured,
    duckdb.CatalogException: SinkMisconfigured,
    duckdb.ConnectionException: SinkMisconfigured,
    duckdb.DependencyException: SinkMisconfigured,
    duckdb.InvalidTypeException: SinkMisconfigured,
    duckdb.NotImplementedException: SinkMisconfigured,
    duckdb.NotSupportedError: SinkMisconfigured,
    duckdb.ParserException: SinkMisconfigured,
    duckdb.PermissionException: SinkMisconfigured,
    duckdb.SequenceException: SinkMisconfigured,
    duckdb.SerializationException: SinkMisconfigured,
    duckdb.SyntaxException: SinkMisconfigured,
    duckdb.ProgrammingError: SinkMisconfigured,
    # a fault of DuckDB, or of ours
    duckdb.InvalidInputException: SinkUnknown,
    duckdb.FatalException: SinkUnknown,
    duckdb.InternalException: SinkUnknown,
    duckdb.InternalError: SinkUnknown,
    duckdb.DatabaseError: SinkUnknown,
    duckdb.Error: SinkUnknown,
}
if hasattr(duckdb, "ResourceInUseException"):
    CLASSES[duckdb.ResourceInUseException] = SinkUnavailable

#: What `IOException` says of a file that a person must mend, and what to do.
_FILE = (
    (r"not a valid DuckDB database", "the file is no DuckDB database; choose another"),
    (r"Permission denied|Read-only file system", "check the owner and rights of file and folder"),
    (r"No such file or directory|Is a directory", "check that the folder exists"),
    (r"newer version|older version|storage version", "open it with a DuckDB of its own version"),
)
_LOCKED = re.compile(r"Could not set lock.*?\(PID (\d+)\)", re.DOTALL)


def translate(exc: Exception) -> SinkError:
    """Return the error of ours that *exc*, raised by duckdb, means."""
    said = str(exc).strip() or type(exc).__name__
    message = f"DuckDB: {said.splitlines()[0]}"
    if isinstance(exc, duckdb.IOException):
        locked = _LOCKED.search(said)
        if locked:
            return SinkUnavailable(
                f"another process (PID {locked[1]}) has the DuckDB file open",
                hint="close it there: DuckDB lets one process in at a time",
            )
        for pattern, hint in _FILE:
            if re.search(pattern, said):
                return SinkMisconfigured(message, hint=hint)
    for class_ in type(exc).__mro__:
        if class_ in CLASSES:
            return CLASSES[class_](message)
    return SinkUnknown(f"{type(exc).__name__}: {exc}")
