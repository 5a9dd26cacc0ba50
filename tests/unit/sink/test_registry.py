"""Facts about which sink writes to which target."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from api2db.core.errors import ConfigError
from api2db.sink.base import Delivery
from api2db.sink.registry import make_sink
from api2db.sink.target import Database, Folder

if TYPE_CHECKING:
    from pathlib import Path

DELIVERY = Delivery("0" * 32, "c", "pg", "t")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://h/d", "sql.postgresql"),
        ("postgres://h/d", "sql.postgresql"),
        ("postgresql+psycopg://h/d", "sql.postgresql"),
        ("mysql://h/d", "sql.mysql"),
        ("mysql+pymysql://h/d", "sql.mysql"),
        ("mariadb://h/d?connect_timeout=3", "sql.mariadb"),
        ("sqlite:///x.db", "sql.sqlite"),
        ("duckdb:///x.db", "sql.duckdb"),
    ],
)
def test_a_scheme_names_the_sink(url: str, name: str, tmp_path: Path) -> None:
    """Making a sink connects to nothing."""
    assert make_sink(Database(url), DELIVERY, base=tmp_path).name.endswith(name)


def test_a_folder_is_for_files(tmp_path: Path) -> None:
    """A stream with `local` writes files."""
    assert make_sink(Folder(tmp_path), DELIVERY, base=tmp_path).name == "local"


def test_an_unknown_scheme(tmp_path: Path) -> None:
    """The error names what there is, and shows no password."""
    with pytest.raises(ConfigError, match="postgresql, sqlite") as caught:
        make_sink(Database("db2://me:s3cret@h/d"), DELIVERY, base=tmp_path)
    assert "s3cret" not in str(caught.value)


def test_a_table_name_that_the_target_would_cut_off(tmp_path: Path) -> None:
    """A name of more than 63 bytes is a mistake of the configuration."""
    delivery = Delivery("0" * 32, "c", "pg", "t" * 64)
    with pytest.raises(ConfigError, match="63"):
        make_sink(Database("postgresql://h/d"), delivery, base=tmp_path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://h", "names no database"),
        ("mysql+odbc://h/d", "unknown driver 'odbc'"),
        ("mysql://me:s3cret@h/d?nonsense=1", "unknown option 'nonsense'"),
        ("mysql://h/d?connect_timeout=soon", "connect_timeout is not a number"),
    ],
)
def test_a_url_of_mysql_that_cannot_be_used(url: str, said: str, tmp_path: Path) -> None:
    """What is wrong with it is said at once, and shows no password."""
    with pytest.raises(ConfigError, match=said) as caught:
        make_sink(Database(url), DELIVERY, base=tmp_path)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("table", ["t ", "t😀", "t" * 65])
def test_a_table_name_that_mysql_cannot_have(table: str, tmp_path: Path) -> None:
    """It is a mistake of the configuration."""
    delivery = Delivery("0" * 32, "c", "my", table)
    with pytest.raises(ConfigError, match="cannot be the name of a table"):
        make_sink(Database("mysql://h/d"), delivery, base=tmp_path)


@pytest.mark.parametrize("url", ["postgresql://h/d", "mysql://h/d", "sqlite:///f", "duckdb:///f"])
def test_the_table_of_the_markers_is_no_target(url: str, tmp_path: Path) -> None:
    """Rows for it would be taken for markers."""
    for table in ("_api2db_batches", "_API2DB_Batches"):
        delivery = Delivery("0" * 32, "c", "s", table)
        with pytest.raises(ConfigError, match=r"cannot be the name.*our own tables"):
            make_sink(Database(url), delivery, base=tmp_path)


def test_a_missing_driver_says_what_to_install() -> None:
    """Without psycopg a PostgreSQL stream tells which extra brings it."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path\n"
        "from api2db.sink.base import Delivery\n"
        "from api2db.sink.registry import make_sink\n"
        "from api2db.sink.target import Database\n"
        "make_sink(Database('postgresql://h/d'), Delivery('0' * 32, 'c', 's', 't'), base=Path())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "pip install 'api2db[postgresql]>=2'" in run.stderr


@pytest.mark.parametrize("internal", ["api2db.sink.pgcatalog", "api2db.core.types"])
def test_a_missing_module_of_ours_is_no_missing_driver(internal: str) -> None:
    """A fault of the package is not blamed on a driver."""
    code = (
        f"import sys; sys.modules[{internal!r}] = None\n"
        "from pathlib import Path\n"
        "from api2db.sink.base import Delivery\n"
        "from api2db.sink.registry import make_sink\n"
        "from api2db.sink.target import Database\n"
        "make_sink(Database('postgresql://h/d'), Delivery('0' * 32, 'c', 's', 't'), base=Path())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "pip install" not in run.stderr
    assert f"import of {internal} halted" in run.stderr


def test_no_driver_is_imported_until_it_is_needed() -> None:
    """A SQLite stream does not load the driver of another target."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from api2db.sink.base import Delivery\n"
        "from api2db.sink.registry import make_sink\n"
        "from api2db.sink.target import Database\n"
        "make_sink(Database('sqlite:///x.db'), Delivery('0' * 32, 'c', 's', 't'), base=Path())\n"
        "assert not {'psycopg', 'duckdb', 'pymysql', 'pandas'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_sink_loads_pandas() -> None:
    """`check` imports the sinks of a project, and may take a second."""
    code = (
        "import sys\n"
        "from api2db.sink import bigquery, bitio, duckdb, ikv, mysql, omnisci, oracle, sqlite\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bigquery_s_client_is_imported_when_the_stream_connects() -> None:
    """It takes a second; a missing one is told at once all the same."""
    make = (
        "from pathlib import Path\n"
        "from api2db.sink.base import Delivery\n"
        "from api2db.sink.registry import make_sink\n"
        "from api2db.sink.target import Bigquery\n"
        "make_sink(Bigquery('p', 'd'), Delivery('0' * 32, 'c', 's', 't'), base=Path())\n"
    )
    code = f"import sys\n{make}assert not {{'grpc', 'requests', 'pandas'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
    code = (
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        "util.find_spec = lambda name, *args: None if 'bigquery' in name else found(name, *args)\n"
    )
    command = [sys.executable, "-c", code + make]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "pip install 'api2db[bigquery]>=2'" in run.stderr
