"""The command `mlab`: writes ``laboratory/lab.py``, in which a form is built step by step."""

from __future__ import annotations

from pathlib import Path

#: Where the laboratory is, below the working directory.
LABORATORY = Path("laboratory")

_LAB = '''\
"""Fill in one function after the other; `rlab` shows what each of them makes of the data."""

from api2db.ingest import *

CACHE = True  # ask the API once, and keep its data in lab_cache.json


def import_target():
    """Return a list of dictionaries: one for each response of the API."""
    return None


def pre_process():
    """Return a list of steps that lead to the list of rows; it may be empty."""
    return None


def data_features():
    """Return a list of features: the columns."""
    return None


def post_process():
    """Return a list of steps on the DataFrame; it may be empty."""
    return None


if __name__ == "__main__":
    form = ApiForm(
        name="lab",
        pre_process=pre_process(),
        data_features=data_features(),
        post_process=post_process(),
    )
    form.experiment(CACHE, import_target)
'''


def mlab() -> None:
    """Make a laboratory in the working directory, unless there is one."""
    if LABORATORY.exists():
        print("Lab already exists!")
        return
    LABORATORY.mkdir()
    (LABORATORY / "lab.py").write_text(_LAB, encoding="utf-8")
    print("Lab has been created. Edit the file found in laboratory/lab.py")
