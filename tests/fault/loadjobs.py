"""
``api2db`` in which BigQuery is written by load jobs however often; the kill loop drives it.

``python -m tests.fault.loadjobs run ...``: a life of the loop is shorter than the minute that
has to be between two load jobs.
"""

from __future__ import annotations

from api2db.install.cli import main
from api2db.sink import target

if __name__ == "__main__":
    target.LOAD_PACE = 0.0
    main()
