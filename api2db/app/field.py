"""What a single value of config.yaml may be: pydantic types, each with its check."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import BeforeValidator, WithJsonSchema

from api2db.app.quantity import duration, size
from api2db.files.layout import NAME
from api2db.ingest.auth import fault_of_header, fault_of_text, fault_of_value

TYPES = ("int", "float", "bool", "str", "datetime", "date", "decimal", "json")
_TARGETS = "postgresql, mysql, mariadb, sqlite, duckdb, oracle and mssql"
_SCHEMES = frozenset({"postgres", *re.findall(r"\w{3,}", _TARGETS)} - {"and"})
_MYSQL_DRIVERS = ("", "pymysql", "mysqldb", "mariadbconnector")


def _jmespath(value: object) -> object:
    if isinstance(value, str):
        try:
            jmespath.compile(value)
        except JMESPathError as exc:
            reason = str(exc).splitlines()[0].removesuffix(", for expression:").rstrip(":")
            raise ValueError(f"not a JMESPath expression: {reason}") from exc
    return value


def _name(value: object) -> object:
    if isinstance(value, str) and NAME.fullmatch(value) is None:
        raise ValueError("a name has 1 to 63 of a-z, 0-9, '_' and '-', and begins with a letter")
    return value


def _web(value: object) -> object:
    if isinstance(value, str):
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a URL that begins with http:// or https://")
        _port(value)
    return value


def _database(value: object) -> object:
    if isinstance(value, str):
        if not re.match(r"[A-Za-z][\w+]*:", value):
            raise ValueError("write a SQLAlchemy URL such as postgresql://user@host/db")
        _port(value)
        import httpx2  # takes long to load, and only these need it

        try:
            httpx2.URL(value)
        except (httpx2.InvalidURL, ValueError):  # its message would show a password
            raise ValueError("not a URL: a character or the host's name is wrong") from None
    return value


def sendable(value: str) -> str:
    """Return *value* if it can stand in a header; the ValueError does not show it."""
    fault = fault_of_value(value)
    if fault is not None:
        raise ValueError(f"cannot be sent: {fault}")
    return value


def _text(value: object) -> object:
    fault = fault_of_text(value) if isinstance(value, str) else None
    if fault is not None:
        raise ValueError(f"cannot be sent: {fault}")
    return value


def _token(value: object) -> object:
    if value == "":
        raise ValueError("must not be empty")
    return sendable(value) if isinstance(value, str) else value


def _header_name(value: object) -> object:
    fault = fault_of_header(value, "") if isinstance(value, str) else None
    if fault is not None:
        raise ValueError(fault)
    return value


def _header_value(value: object) -> object:
    value = _scalar(value)
    return sendable(value) if isinstance(value, str) else value


def _function(value: object) -> object:
    name = r"[^\W\d]\w*"
    if isinstance(value, str) and not re.fullmatch(rf"({name}\.)*(?!py:){name}:{name}", value):
        raise ValueError("write module:name, such as weather:fetch for collectors/weather.py")
    return value


def _port(url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError as exc:  # its own message would show what stands there: half a password
        raise ValueError("the port of the URL is no number from 0 to 65535") from exc


def _target(value: object) -> object:
    if isinstance(value, str):
        scheme, _, driver = value.partition(":")[0].partition("+")
        if not re.match(r"[A-Za-z][\w+.-]*:", value):
            raise ValueError("write a URL such as postgresql://user@host/db or sqlite:///file.db")
        if scheme not in _SCHEMES:
            raise ValueError(f"unknown kind of target; there are {_TARGETS}")
        if scheme in ("mysql", "mariadb") and driver not in _MYSQL_DRIVERS:
            there = ", ".join(_MYSQL_DRIVERS[1:])
            raise ValueError(f"unknown driver {driver}; write {scheme}://, or one of {there}")
        _port(value)
    return value


def _cron(value: object) -> object:
    if isinstance(value, str):
        from apscheduler.triggers.cron import CronTrigger  # slow to import, seldom needed

        try:
            CronTrigger.from_crontab(value)
        except ValueError as exc:
            raise ValueError(f"not a cron expression of five fields: {exc}") from exc
    return value


def _scalar(value: object) -> object:
    if not isinstance(value, (str, int, float)):
        raise ValueError("write a text, a number, true or false")
    return value


def _scalars(value: object) -> object:
    if isinstance(value, list):
        return [_scalar(item) for item in value]
    if not isinstance(value, (str, int, float)):
        raise ValueError("write a text, a number, true, false, or a list of them")
    return value


def _count(value: object) -> object:
    if isinstance(value, (bool, float)):
        raise ValueError("write a whole number")
    return value


def column(value: object) -> object:
    """Return the mapping that a type alone, ``name: int``, stands for."""
    if isinstance(value, str):
        if value not in TYPES:
            raise ValueError(f"unknown type {value!r}; there are {', '.join(TYPES)}")
        return {"type": value}
    return value


def _keys(value: object) -> object:
    keys = [value] if isinstance(value, str) else value
    if keys is not None and not (isinstance(keys, list) and all(isinstance(k, str) for k in keys)):
        raise ValueError("write the name of a column, or a list of names")
    return keys


def _attempts(value: object) -> object:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError("write a number of attempts, at least 1, or null to wait for ever")
    return value


def bind(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port``; ValueError if it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535 or not host:
        raise ValueError("write host:port, such as 127.0.0.1:8282")
    return host.strip("[]"), int(port)


def _bind(value: object) -> object:
    if isinstance(value, str):
        bind(value)
    return value


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach *host*."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


Duration = Annotated[
    float,
    BeforeValidator(duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["30s", "200ms", "5m", "1h", 10]}),
]
Size = Annotated[
    int,
    BeforeValidator(size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["256MB", "10GB", "1GiB"]}),
]
JmesPath = Annotated[str, BeforeValidator(_jmespath)]
Name = Annotated[str, BeforeValidator(_name)]
Scalar = Annotated[str | int | float | bool, BeforeValidator(_scalar)]
Scalars = Annotated[
    str | int | float | bool | list[str | int | float | bool], BeforeValidator(_scalars)
]
Count = Annotated[int, BeforeValidator(_count)]
Text = Annotated[str, BeforeValidator(_text)]
Token = Annotated[str, BeforeValidator(_token)]
HeaderName = Annotated[str, BeforeValidator(_header_name)]
HeaderValue = Annotated[str | int | float | bool, BeforeValidator(_header_value)]
WebUrl = Annotated[str, BeforeValidator(_web)]
DatabaseUrl = Annotated[str, BeforeValidator(_database)]
FunctionName = Annotated[str, BeforeValidator(_function)]
TargetUrl = Annotated[str, BeforeValidator(_target)]
Cron = Annotated[str, BeforeValidator(_cron)]
Format = Literal["parquet", "json", "csv", "pickle"]
Mode = Literal["shard", "update", "replace"]
Keys = Annotated[list[str], BeforeValidator(_keys)]
Attempts = Annotated[
    int | None,
    BeforeValidator(_attempts),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}),
]
Bind = Annotated[str, BeforeValidator(_bind)]
