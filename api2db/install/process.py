"""What is set for the whole process before anything large is loaded."""

from __future__ import annotations

import gc
import os
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def loading() -> None:
    """
    Make what follows, the loading of modules, quick.

    Called once, first of all, by `api2db run`. The user's environment wins.
    """
    # Imports make no garbage worth looking for.
    gc.disable()
    # numpy would start a thread per core for matrix products that nobody asks for.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def spare_pandas() -> None:
    """
    Keep pyarrow from importing pandas, if there is one, as it makes its first array.

    It asks once and remembers, so this process goes on as where pandas is not installed: half
    a second and 60 MB less for all who have it and do not use it here.
    """
    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _NoPandas)
    try:
        import pyarrow as pa

        pa.array([])
    finally:
        sys.meta_path.remove(_NoPandas)


class _NoPandas:
    """A finder that finds: there is no pandas."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """Make an import of pandas fail."""
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def loaded() -> None:
    """
    Begin to collect garbage, but never look at what the imports left; keep freed memory.

    Called once, when all modules are loaded and before the work begins.
    """
    gc.freeze()
    gc.enable()
    _keep_memory()


def _keep_memory() -> None:
    """
    Tell glibc to keep freed memory of up to 64 MiB instead of giving it back to the system.

    Each page of some megabytes would otherwise be mapped, zeroed and unmapped anew, which
    costs more than its copying. mallopt(3); elsewhere this does nothing.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
