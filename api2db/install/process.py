"""What is set for the whole process before anything large is loaded."""

from __future__ import annotations

import gc
import os

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
