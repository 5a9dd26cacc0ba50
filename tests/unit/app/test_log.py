"""Log lines."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from api2db.app import log

SECRET = 'pa"ss\\word'


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    out = io.StringIO()
    log.configure({SECRET, "canary"}, stream=out)
    yield out
    root.handlers[:] = before
    root.setLevel(level)


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
