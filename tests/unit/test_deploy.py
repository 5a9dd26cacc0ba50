"""The systemd unit and the Dockerfile are right, as far as this machine can tell."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.api_server import ApiServer, Reply

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "api2db.service"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
#: Most that systemd's own judgement of the sandbox may be; 10 is none at all.
EXPOSURE = 1.2

analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here"
)


def run(*command: str | Path) -> str:
    """Return what *command* prints, on both channels; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@analyze
def test_the_unit_is_valid(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say, once program and user are there."""
    text = UNIT.read_text().replace("/opt/api2db/bin/api2db", shutil.which("true") or "")
    unit = tmp_path / "api2db.service"
    unit.write_text(re.sub(r"^(User|Group)=api2db$", r"\1=root", text, flags=re.MULTILINE))
    assert run("systemd-analyze", "verify", unit) == ""


@analyze
def test_the_sandbox_is_tight() -> None:
    """`systemd-analyze security` finds almost nothing that the service does not need."""
    told = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    exposure = re.search(r"Overall exposure level[^:]*: ([0-9.]+)", told)
    assert exposure is not None
    assert float(exposure.group(1)) <= EXPOSURE


#: Makes the kernel refuse memory that is both writable and executable, as the unit does.
_NO_NEW_CODE = """
import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_no_new_code(tmp_path: Path) -> None:
    """The daemon does its work under MemoryDenyWriteExecute."""
    with ApiServer() as api:
        (tmp_path / "config.yaml").write_text(f"""\
streams: {{ lite: {{ url: "sqlite:///x.db" }}, files: {{ local: shards }} }}
collectors:
  a: {{ every: 1m, get: "{api.on("/a", Reply([{"id": 1}]))}", to: {{ lite: {{}}, files: {{}} }} }}
""")
        command = [sys.executable, "-c", _NO_NEW_CODE, sys.executable, "-m", "api2db"]
        done = subprocess.run(
            [*command, "--json", "run", "--once"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    if done.returncode == 77:
        pytest.skip("this kernel cannot forbid it")
    assert done.returncode == 0, done.stderr
    streams = json.loads(done.stdout)["collectors"]["a"]["streams"]
    assert {name: state["rows_landed"] for name, state in streams.items()} == {
        "lite": 1,
        "files": 1,
    }


@pytest.mark.skipif(HADOLINT is None, reason="no hadolint here")
def test_the_dockerfile_is_clean() -> None:
    """hadolint has nothing to say."""
    assert HADOLINT is not None
    assert run(HADOLINT, ROOT / "Dockerfile") == ""


def test_the_image() -> None:
    """Two stages, locked packages, an unprivileged user, STORE as the volume, a health check."""
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert len(re.findall(r"^FROM \S+-slim", DOCKERFILE, re.MULTILINE)) == 2
    assert "pip" not in last
    user = re.search(r"^USER (\S+)$", last, re.MULTILINE)
    assert user is not None
    assert int(user.group(1)) > 0
    assert re.search(r"^VOLUME /project/STORE$", last, re.MULTILINE)
    assert re.search(r'^HEALTHCHECK .*CMD \["api2db", "status", "--alive"\]$', last, re.MULTILINE)
    installs = re.findall(r"pip install ([^&\n]*)", DOCKERFILE)
    assert all("--require-hashes" in i or "--no-deps" in i for i in installs)
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        assert all(f"!{name.partition('/')[0]}" in kept for name in copied.split())
