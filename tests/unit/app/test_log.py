"""Log lines."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from api2db.app import log

SECRET = 'pa"ss\\word'


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook
    out = io.StringIO()
    log.configure({SECRET, "canary"}, stream=out)
    yield out
    log.configure(())  # no secrets for the tests to come
    root.handlers[:] = before
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(capture=False)


def test_a_line_is_json_with_its_fields(lines: io.StringIO) -> None:
    """Each line is one JSON object: time, level, event, and the fields of the event."""
    logging.getLogger("api2db.x").warning("stream_retrying", extra={"stream": "a/b", "delay": 1.5})
    line = json.loads(lines.getvalue())
    assert line.pop("at").endswith("Z")
    assert line == {"level": "WARNING", "event": "stream_retrying", "stream": "a/b", "delay": 1.5}


def test_secrets_appear_nowhere(lines: io.StringIO) -> None:
    """Neither message, nor field, nor traceback holds a secret, however it is escaped."""
    try:
        raise ValueError(f"cannot log in with {SECRET}")
    except ValueError:
        logging.getLogger("x").exception("failed canary", extra={"url": f"http://u:{SECRET}@h"})
    text = lines.getvalue()
    assert json.loads(text)["event"] == "failed ***"
    assert "word" not in text.replace("***", "")
    assert "canary" not in text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_crash(lines: io.StringIO) -> None:
    """What nobody catches, in any thread, is a line of the log without secrets too."""

    def crash() -> None:
        raise ValueError("lost canary")

    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError("lost canary"), None)
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert [line["event"] for line in told] == ["crashed", "crashed"]
    assert all("lost ***" in line["exc_info"] for line in told)
    assert "canary" not in lines.getvalue()


def test_shown_texts(lines: io.StringIO) -> None:
    """What a command prints can be cleaned of the same secrets."""
    assert log.hidden("a canary sings") == "a *** sings"
