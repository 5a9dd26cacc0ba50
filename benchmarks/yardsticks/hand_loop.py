"""
What a good programmer writes by hand: httpx, msgspec's typed decoding, ADBC's bulk ingest.

Reads ``API`` page by page into the table ``lim`` of ``PG_DSN``, a commit for each page. Nothing is
safe: a crash or an error leaves whatever was there. This is the yardstick of `end_to_end`.
"""

from __future__ import annotations

import os
from operator import attrgetter

import adbc_driver_postgresql.dbapi as adbc
import httpx
import msgspec
import pyarrow as pa

TEXT, INT, FLOAT = pa.string(), pa.int64(), pa.float64()
#: Property of a feature -> type of its column.
PROPERTIES = {
    "mag": FLOAT,
    "place": TEXT,
    "time": INT,
    "updated": INT,
    "url": TEXT,
    "status": TEXT,
    "tsunami": INT,
    "sig": INT,
    "net": TEXT,
    "type": TEXT,
    "title": TEXT,
}


class Properties(msgspec.Struct):
    mag: float | None
    place: str | None
    time: int
    updated: int
    url: str
    status: str
    tsunami: int
    sig: int
    net: str
    type: str
    title: str


class Geometry(msgspec.Struct):
    coordinates: list[float]


class Feature(msgspec.Struct):
    id: str
    properties: Properties
    geometry: Geometry


class Page(msgspec.Struct):
    features: list[Feature]
    next: str | None


def table(features: list[Feature]) -> pa.Table:
    """Return a page as a table (n rows x 15 columns)."""
    properties = [feature.properties for feature in features]
    columns = {"id": pa.array([feature.id for feature in features], TEXT)}
    for name, type_ in PROPERTIES.items():
        columns[name] = pa.array(list(map(attrgetter(name), properties)), type_)
    for at, name in enumerate(("lon", "lat", "depth")):
        columns[name] = pa.array([f.geometry.coordinates[at] for f in features], FLOAT)
    return pa.table(columns)


def main() -> None:
    """Load all pages."""
    decoder = msgspec.json.Decoder(Page)
    address: str | None = os.environ["API"]
    with httpx.Client() as client, adbc.connect(os.environ["PG_DSN"]) as connection:
        cursor = connection.cursor()
        while address:
            page = decoder.decode(client.get(address).content)
            cursor.adbc_ingest("lim", table(page.features), mode="create_append")
            connection.commit()
            address = page.next
        cursor.close()


if __name__ == "__main__":
    main()
