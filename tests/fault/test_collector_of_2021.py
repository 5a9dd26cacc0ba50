"""The quickstart of 2021, killed at the places where a row could be lost or doubled."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fault.collector_of_2021 import Quickstart
from tests.fixtures.mariadb import MariaDb
from tests.fixtures.mysql import MySql

#: Around each step of a row's way: the log, both databases, the shard, the store.
POINTS = (
    "poller.before_put:3",
    "spool.after_fsync:4",
    "sink.before_commit:2",
    "sink.after_commit:3",
    "sink.after_rename:3",
    "worker.before_ack:4",
    "store.after_intent:1",
    "store.after_put:1",
    "store.mid_retire:2",
    "store.before_forget:1",
)


@pytest.mark.soak
@pytest.mark.backend("mysql")
@pytest.mark.backend("mariadb")
@pytest.mark.timeout(900)
def test_killed_at_each_point_and_at_random(tmp_path: Path) -> None:
    """Twenty kills, MariaDB crashing twice in between: 0 lost, 0 doubled."""
    seed = random.SystemRandom().randrange(2**31)
    with MySql() as mysql, MariaDb() as mariadb:
        project = Quickstart(tmp_path, mysql, mariadb, seed)
        try:
            for i, point in enumerate(POINTS):
                project.live_and_die(point)
                if i % 5 == 4:
                    mariadb.stop("immediate")
                project.live_and_die()
                mariadb.stop()
                mariadb.start()
            project.settle(180)
            assert project.verdict(project.landed()) == "", f"seed={seed}"
            assert project.kills == 2 * len(POINTS)
        finally:
            project.close()
