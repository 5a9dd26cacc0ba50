"""What a stream alone says of a target that refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """\
import logging
from api2db.stream.stream import Stream
SETUP
class Mine(Stream):
    def stream(self, data): ...
Mine("mine")
log = logging.getLogger("api2db.stream.worker")
log.error("stream_paused", extra={"stream": "mine", "error": "X h:1: refused; check 'host'"})
log.info("nothing", extra={"stream": "mine"})
"""


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ("", "stream_paused  stream=mine  error=X h:1: refused; check 'host'\n"),
        ("logging.basicConfig()", "ERROR:api2db.stream.worker:stream_paused\n"),
        ("logging.getLogger('api2db').addHandler(logging.NullHandler())", ""),
    ],
)
def test_an_error_has_its_fields(setup: str, said: str, tmp_path: Path) -> None:
    """Without logging set up the reason is shown on stderr; a handler of the project's is alone."""
    script = SCRIPT.replace("SETUP", setup)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == said
