"""What a process is set to before it works."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from api2db.install import process
process.loading()
{}
import pyarrow as pa
assert pa.array([1, None], pa.int64()).null_count == 1
process.loaded()
import gc
assert gc.isenabled() and gc.get_freeze_count()
print("pandas" in sys.modules)
import pandas
assert pandas.DataFrame({{"a": [1]}}).shape == (1, 1)
"""


def _run(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_pandas_is_spared_where_nothing_needs_it() -> None:
    """`spare_pandas` keeps pyarrow from importing it; who imports it himself still can."""
    assert _run(PROGRAM.format("process.spare_pandas()")) == "False"
    assert _run(PROGRAM.format("")) == "True"
