"""The command `clab`: removes ``laboratory/`` with all that is in it."""

from __future__ import annotations

import shutil

from api2db.install.make_lab import LABORATORY


def clab() -> int:
    """Remove the laboratory, if two questions are answered with ``y``; return 1 if it stays."""
    if LABORATORY.is_symlink() or not LABORATORY.is_dir():
        print("No lab exists... skipping")
        return 0
    where = LABORATORY.resolve()
    questions = (
        f"WARNING: ALL ITEMS IN DIRECTORY {where} WILL BE DELETED. Continue? (y/n) ",
        f"Are you sure you want to delete all items from {where}? This cannot be undone. (y/n) ",
    )
    if not all(input(question).strip() == "y" for question in questions):
        return 1
    shutil.rmtree(LABORATORY)
    return 0
