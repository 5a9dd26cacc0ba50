"""A pickle that holds a pandas DataFrame, opened without running what else it may hold."""

from __future__ import annotations

import pickle
import re
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from api2db.core.errors import FileUnreadable

if TYPE_CHECKING:
    from datetime import tzinfo

#: Simple types of numpy, as pickles name them.
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|c(8|16)|[mM]8|O8?|[SU][0-9]+)")

#: What DataFrames are made of, by the module that pickles name for it (pandas 1 to 3, numpy 1
#: and 2). Each is data, or a function that makes nothing else: none reads a file, imports,
#: or calls what it is given.
_ADMITTED: dict[str, frozenset[str]] = {
    "builtins": frozenset({"bytearray", "bytes", "complex", "frozenset", "set", "slice"}),
    "collections": frozenset({"OrderedDict"}),
    "_codecs": frozenset({"encode"}),
    "datetime": frozenset({"date", "datetime", "time", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "uuid": frozenset({"UUID"}),
    "zoneinfo": frozenset({"ZoneInfo"}),
    "numpy": frozenset({"bool_", "datetime64", "timedelta64"}),
    "numpy._core.multiarray": frozenset({"scalar"}),
    "numpy._core.numeric": frozenset({"_frombuffer"}),
    "pandas": frozenset(
        {
            *("ArrowDtype", "BooleanDtype", "Categorical", "CategoricalDtype", "CategoricalIndex"),
            *("DataFrame", "DatetimeIndex", "DatetimeTZDtype", "Float32Dtype", "Float64Dtype"),
            *("Index", "Int16Dtype", "Int32Dtype", "Int64Dtype", "Int8Dtype", "Interval"),
            *("IntervalDtype", "IntervalIndex", "MultiIndex", "NA", "NaT", "Period"),
            *("PeriodDtype", "PeriodIndex", "RangeIndex", "Series", "StringDtype", "Timedelta"),
            *("TimedeltaIndex", "Timestamp", "UInt16Dtype", "UInt32Dtype", "UInt64Dtype"),
            *("SparseDtype", "UInt8Dtype"),
        }
    ),
    "pandas.arrays": frozenset(
        {
            *("ArrowExtensionArray", "ArrowStringArray", "BooleanArray", "DatetimeArray"),
            *("FloatingArray", "IntegerArray", "IntervalArray", "NumpyExtensionArray"),
            *("PeriodArray", "SparseArray", "StringArray", "TimedeltaArray"),
        }
    ),
    "pandas._libs.arrays": frozenset({"__pyx_unpickle_NDArrayBacked"}),
    "pandas._libs.internals": frozenset({"_unpickle_block"}),
    "pandas._libs.interval": frozenset({"__pyx_unpickle_IntervalMixin"}),
    "pandas._libs.missing": frozenset({"NA", "NAType"}),
    "pandas._libs.sparse": frozenset({"BlockIndex", "IntIndex"}),
    "pandas._libs.tslibs.nattype": frozenset({"_nat_unpickle", "__nat_unpickle"}),
    "pandas._libs.tslibs.offsets": frozenset({"Day", "Hour", "Minute", "MonthEnd", "Second"}),
    "pandas._libs.tslibs.timedeltas": frozenset({"_timedelta_unpickle"}),
    "pandas._libs.tslibs.timestamps": frozenset({"_unpickle_timestamp"}),
    "pandas.core.indexes.base": frozenset({"_new_Index"}),
    "pandas.core.indexes.datetimes": frozenset({"_new_DatetimeIndex"}),
    "pandas.core.indexes.interval": frozenset({"_new_IntervalIndex"}),
    "pandas.core.indexes.period": frozenset({"_new_PeriodIndex"}),
    "pandas.core.indexes.timedeltas": frozenset({"_new_TimedeltaIndex"}),
    "pandas.core.internals.managers": frozenset({"BlockManager"}),
    "pyarrow.lib": frozenset(
        {
            *("_restore_array", "chunked_array", "py_buffer", "type_for_alias"),
            *("decimal128", "dictionary", "duration", "field", "list_", "struct", "timestamp"),
        }
    ),
}
#: Names that older pickles use for the same modules.
_RENAMED = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}
#: What pandas 1 called an index of numbers.
_INDEXES = frozenset({"Int64Index", "UInt64Index", "Float64Index"})


def load_frame(file: IO[bytes], name: str) -> Any:
    """
    Return the DataFrame that *file* holds.

    No code that the pickle names is run: it is refused unless it belongs to DataFrames. A
    crafted file can still fill the memory, as any file can: only read files that you own.

    Args:
        name: What the file is called, for errors.

    Raises:
        FileUnreadable: It holds something else, or names what no DataFrame needs.
    """
    import pandas as pd

    try:
        frame = _FrameUnpickler(file).load()
        if isinstance(frame, pd.DataFrame):
            _check_arrow(frame)
            return frame
    except Exception as exc:  # a pickle that was crafted can make any code of pandas fail
        why = str(exc) or type(exc).__name__
        raise FileUnreadable(f"{name} holds no DataFrame: {why}", hint="move it away") from exc
    raise FileUnreadable(f"{name} holds a {type(frame).__name__}, no DataFrame")


#: The unpickler in Python: its parts can be replaced, those of the one in C cannot.
_Unpickler: Any = pickle._Unpickler


class _FrameUnpickler(_Unpickler):  # type: ignore[misc]
    """Makes what DataFrames are made of, and nothing else."""

    dispatch = _Unpickler.dispatch.copy()

    def find_class(self, module: str, name: str) -> Any:
        """Return what *name* of *module* stands for here."""
        if module == "pandas.core.indexes.numeric" and name in _INDEXES:
            module, name = "pandas", "Index"
        module = _public(_RENAMED.get(module, module), name)
        if (module, name) in _GUARDED:
            return _GUARDED[module, name]
        if name not in _ADMITTED.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no DataFrame needs")
        return getattr(import_module(module), name)

    def load_build(self) -> None:
        """Give an object its state, unless that would change a class or belie memory."""
        state, owner = self.stack[-1], self.stack[-2]
        if isinstance(owner, type) or (_is_dtype(owner) and not _is_plain(owner, state)):
            raise pickle.UnpicklingError("it changes what others use")
        super().load_build()

    dispatch[pickle.BUILD[0]] = load_build


def _public(module: str, name: str) -> str:
    """Return the module that has *name* now: pickles of pandas 1 and 2 name inner ones."""
    if module.startswith("pandas.core."):
        for public in ("pandas", "pandas.arrays"):
            if name in _ADMITTED[public]:
                return public
    return module


def _is_dtype(value: object) -> bool:
    import numpy as np

    return isinstance(value, np.dtype)


def _is_plain(dtype: Any, state: Any) -> bool:
    """Return whether *state* leaves *dtype* as it is, but for byte order and unit of time."""
    expected = dtype.__reduce__()[2]
    same = slice(2, 8)
    return isinstance(state, tuple) and state[same] == expected[same]


def _reconstruct(_cls: object, _shape: object, _code: object) -> Any:
    """Return an empty array, whose state follows; numpy's own would call what it is given."""
    import numpy as np

    return np.empty(0, "b")


def _dtype(code: object, _align: object = False, copy: object = True) -> Any:
    """Return a simple type of numpy, a new object that may be given a state."""
    import numpy as np

    if not isinstance(code, str) or _DTYPE.fullmatch(code) is None:
        raise pickle.UnpicklingError(f"it holds values of type {code!r}")
    return np.dtype(code, False, bool(copy))


def _getattr(owner: object, name: str) -> Any:
    """Return the one attribute that DataFrames ask for: how time zones are made."""
    if owner is not ZoneInfo or name != "_unpickle":
        raise pickle.UnpicklingError(f"it asks for the attribute {name!r}")
    return ZoneInfo._unpickle  # type: ignore[attr-defined]


def _zone(name: str = "UTC", *_offsets: object) -> tzinfo:
    """Return the time zone that pytz has under *name*; pytz's own, where pandas still uses it."""
    try:
        pytz: Any = import_module("pytz")
    except ImportError:
        return ZoneInfo(str(name))
    found: tzinfo = pytz.timezone(str(name))
    return found


#: What would do more than DataFrames need: ``ndarray`` takes any memory for pointers.
_GUARDED: dict[tuple[str, str], Any] = {
    ("builtins", "getattr"): _getattr,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): None,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("pytz", "_UTC"): _zone,
    ("pytz", "_p"): _zone,
}


def _check_arrow(frame: Any) -> None:
    """Raise ArrowInvalid if a column in Arrow's memory points out of it."""
    for i in range(frame.shape[1]):
        array = frame.iloc[:, i].array
        if hasattr(array, "__arrow_array__") and hasattr(array, "_pa_array"):
            array._pa_array.validate(full=True)
