"""The command `rlab`: runs ``laboratory/lab.py``."""

from __future__ import annotations

import subprocess
import sys

from api2db.install.make_lab import LABORATORY


def rlab() -> int:
    """Run the laboratory in its folder, with this interpreter; return its exit code, or 1."""
    if not (LABORATORY / "lab.py").is_file():
        print("No lab exists... run the mlab command to make a lab.")
        return 1
    return subprocess.run([sys.executable, "lab.py"], cwd=LABORATORY, check=False).returncode
