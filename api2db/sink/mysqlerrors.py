"""What an error of MariaDB or MySQL, or of its driver, means for a load."""

from __future__ import annotations

import re

import pymysql

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)

#: Numbers below 2000, and above 2999, come from the server, the others from the driver.
_UNAVAILABLE = (
    *(1021, 1026, 1028, 1114),  # disk or table full, a file that cannot be written
    *(1037, 1038, 1041, 1135),  # out of memory, no new thread
    *(1040, 1203, 1226),  # too many connections, a user's limit
    *(1047, 1053, 1077, 1079, 1927, 3032, 3168, 4031),  # shutting down, not ready, killed
    *(1158, 1159, 1160, 1161, 1184, 1152),  # the network
    *(1204, 1205, 1206, 1207, 1213, 1223, 1412, 1614, 1637, 3572),  # locks, deadlock
    *(1317, 1969, 3024),  # interrupted, a statement's time was over
    *(1792, 1836),  # read only: a replica, during a failover
    *(2000, 2002, 2003, 2004, 2005, 2006, 2008, 2011, 2012, 2013, 2055),
)
_REJECTED = (
    *(1048, 1263, 1364),  # NULL, or nothing, where there must be a value
    *(1062, 1169, 1586, 1216, 1217, 1451, 1452),  # another row's key, a foreign key
    *(1153, 1301),  # larger than max_allowed_packet
    *(1264, 1265, 1292, 1366, 1367, 1406, 1411, 1416, 1441),  # a value that does not fit
    *(1365, 1690, 1300, 1526, 1702, 1748, 3854, 3988),
    *(1644, 1369, 3819, 4025),  # refused by a trigger, a view, a check
    *(3140, 3141, 3144, 3150, 3156, 3157, 3158, 3905),  # JSON
)
_MISCONFIGURED = (
    *(1044, 1045, 1129, 1130, 1131, 1132, 1133, 1251, 1275, 1396, 1524, 1698),  # login
    *(1820, 1862, 3118, 3159, 3955, 4151, 2007, 2026, 2054, 2059, 2061),
    *(1142, 1143, 1227, 1370, 1410),  # a right that is missing
    *(1046, 1049, 1051, 1054, 1064, 1091, 1109, 1146, 1149, 1193, 1231, 1238, 1298),  # no such ...
    *(1115, 1273, 1286, 1253, 1267, 1283),  # character set, collation, engine
    *(1050, 1059, 1060, 1061, 1067, 1068, 1069, 1070, 1071, 1072, 1073, 1074, 1075),
    *(1103, 1113, 1117, 1118, 1163, 1166, 1170, 1171, 1176, 1470, 1503, 1506, 1564, 1553, 1829),
    *(1148, 2068, 3948, 4166),  # LOAD DATA LOCAL is forbidden
    *(1235, 1289, 1290, 1294, 1295, 1347, 1356, 1288, 1394, 1419, 1442, 1471),
    *(1665, 1785, 1793, 1846, 1845, 1906, 3105, 3152, 3750, 3837, 3959),
)
#: Number -> kind.
NUMBERS: dict[int, type[SinkError]] = {
    **dict.fromkeys(_UNAVAILABLE, SinkUnavailable),
    **dict.fromkeys(_REJECTED, SinkRejected),
    **dict.fromkeys(_MISCONFIGURED, SinkMisconfigured),
}
#: Class of SQLSTATE -> kind, where the number says nothing.
_STATES: dict[str, type[SinkError]] = {
    "08": SinkUnavailable,
    "21": SinkRejected,
    "22": SinkRejected,
    "23": SinkRejected,
    "28": SinkMisconfigured,
    "3D": SinkMisconfigured,
    "40": SinkUnavailable,
    "42": SinkMisconfigured,
    "44": SinkRejected,
    "45": SinkRejected,
    "70": SinkUnavailable,
}
_HINTS = {
    **dict.fromkeys(
        (1044, 1045, 1049, 1698, 2059, 2061),
        "check the url of the stream; it is tried again by itself",
    ),
    1665: "set the server's binlog_format to ROW or MIXED",
    1690: "another unique index than the key of the upsert has found a row",
    3750: "make the table yourself, with a primary key of its own",
}
#: What a value looks like in a message.
_VALUE = re.compile(r"((?:entry|value:?|function) )'.*'( for |$)", re.DOTALL)


def number(exc: BaseException) -> int:
    """Return the number of an error of the driver, 0 if it has none."""
    return exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0


def translate(exc: Exception, server: str = "MySQL", *, interrupted: bool = False) -> SinkError:
    """Return the error of ours that *exc* means; the message names no row's content."""
    if interrupted:
        return SinkUnavailable(f"{server} did not answer in time; the connection was cut")
    if not isinstance(exc, pymysql.MySQLError):
        return _foreign(exc)
    code = number(exc)
    text = str(exc.args[1]) if len(exc.args) > 1 else str(exc)
    if isinstance(exc, pymysql.InterfaceError):
        return SinkUnavailable(f"{server}: the connection is closed")
    text = (_VALUE.sub(r"\1...\2", text).strip() or type(exc).__name__).splitlines()[0]
    message = f"{server}: {text} ({code})" if code else f"{server}: {text}"
    if code == 1290 and "read" in text.lower():  # --read-only: a replica
        return SinkUnavailable(message)
    if code in (2002, 2003) and re.search("certificate|SSL", text):
        return SinkMisconfigured(message, hint="check ssl_ca and the other ssl_ options")
    kind = NUMBERS.get(code) or _STATES.get((getattr(exc, "sqlstate", None) or "")[:2])
    if kind is None:
        kind = _by_class(exc, code)
    return kind(message, hint=_HINTS.get(code))


def _by_class(exc: pymysql.MySQLError, code: int) -> type[SinkError]:
    if isinstance(exc, (pymysql.DataError, pymysql.IntegrityError)):
        return SinkRejected
    if isinstance(exc, (pymysql.ProgrammingError, pymysql.NotSupportedError)):
        return SinkMisconfigured
    closed = isinstance(exc, pymysql.OperationalError) and not code
    return SinkUnavailable if closed else SinkUnknown


def _foreign(exc: Exception) -> SinkError:
    if isinstance(exc, OSError):
        return SinkUnavailable(f"{type(exc).__name__}: {exc}")
    if isinstance(exc, RuntimeError) and "package is required" in str(exc):
        return SinkMisconfigured(str(exc), hint="pip install 'api2db[mysql]>=2'")
    return SinkUnknown(f"{type(exc).__name__}: {exc}")
