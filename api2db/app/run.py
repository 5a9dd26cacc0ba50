"""The daemon for collectors at hand: ``Run([one, two]).run()`` in a project's own ``main.py``."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.app import config as configuration
from api2db.app import log, signals
from api2db.app.collector_files import Found
from api2db.app.declared import declared
from api2db.app.project import bare
from api2db.app.service import serve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api2db.app.settings import Config
    from api2db.ingest.collector import Collector

#: The configuration beside the collectors, of which the collectors' part is not read.
CONFIG = "config.yaml"


class Run:
    """
    Runs collectors until SIGTERM or Ctrl-C.

    The current folder is the project's: there lie STORE and AUTH, and relative paths begin there.

    Args:
        collectors: What to run. One whose ``seconds`` is 0 is disabled.

    Attributes:
        q: A queue for log lines. Nothing reads it any more.
    """

    def __init__(self, collectors: Sequence[Collector]) -> None:
        self.collectors = collectors
        self.q: queue.Queue[Any] = queue.Queue()

    def run(self) -> None:
        """
        Run the daemon, in this process; return when a signal has ended it.

        Outside of the main thread, which alone gets signals, it runs as long as the process.

        Raises:
            ConfigError: A collector cannot be run; nothing was started.
            StoreLocked: Another process has the STORE.
        """
        config = self.config()
        log.configure(config.secrets)
        main = threading.current_thread() is threading.main_thread()
        handled = signals.handled() if main else contextlib.nullcontext(threading.Event())
        with handled as stop:
            serve(config, stop, loaded=lambda: None)

    multiprocessing_start = run

    def config(self) -> Config:
        """
        Return what is run: these collectors, with `defaults`, `store` and `status` of config.yaml.

        Raises:
            ConfigError: As `run`.
        """
        folder = Path.cwd()
        path = folder / CONFIG
        config = bare(folder, path)
        if path.exists():
            config = configuration.load(path, os.environ, beside=True)
            config = replace(config, collectors={}, stores={}, streams={})
        return declared(config, map(_found, self.collectors))


def _found(collector: Collector) -> Found:
    """Return a collector with its place: where the function lies that asks its API."""
    code = getattr(collector.import_target, "__code__", None)
    file = Path(getattr(code, "co_filename", "") or "main.py").absolute()
    line = getattr(code, "co_firstlineno", 1)
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return Found(collector, file.parent, f"{file.stem}:{collector.name}", f"{shown}:{line}")
