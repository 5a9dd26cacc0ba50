"""
A form in the manner of 2021, for either package; see `benchmarks.extraction`, which runs this.

``python extraction_form.py PAGE WAY ROUNDS`` extracts the page ROUNDS times and prints, as JSON,
the seconds of each and a digest of the result. It imports nothing that the package of 2021 lacks.
"""

import hashlib
import json
import logging
import sys
import time

from api2db.ingest import ApiForm, Feature, GlobalExtract, ListExtract
from api2db.ingest.api2pandas import Api2Pandas


def lambdas():
    """Return the form as the package of 2021 has it."""
    return ApiForm(
        name="quakes",
        pre_process=[
            GlobalExtract(key="generated", lam=lambda x: x["metadata"]["generated"], dtype=int),
            ListExtract(lam=lambda x: x["features"]),
        ],
        data_features=[
            Feature(key="id", lam=lambda x: x["id"], dtype=str),
            Feature(key="mag", lam=lambda x: x["properties"]["mag"], dtype=float),
            Feature(key="place", lam=lambda x: x["properties"]["place"], dtype=str),
            Feature(key="time", lam=lambda x: x["properties"]["time"], dtype=int),
            Feature(key="updated", lam=lambda x: x["properties"]["updated"], dtype=int),
            Feature(key="tz", lam=lambda x: x["properties"]["tz"], dtype=int),
            Feature(key="felt", lam=lambda x: x["properties"]["felt"], dtype=int),
            Feature(key="cdi", lam=lambda x: x["properties"]["cdi"], dtype=float),
            Feature(key="status", lam=lambda x: x["properties"]["status"], dtype=str),
            Feature(key="tsunami", lam=lambda x: x["properties"]["tsunami"], dtype=bool),
            Feature(key="sig", lam=lambda x: x["properties"]["sig"], dtype=int),
            Feature(key="net", lam=lambda x: x["properties"]["net"], dtype=str),
            Feature(key="lon", lam=lambda x: x["geometry"]["coordinates"][0], dtype=float),
            Feature(key="lat", lam=lambda x: x["geometry"]["coordinates"][1], dtype=float),
            Feature(key="depth", lam=lambda x: x["geometry"]["coordinates"][2], dtype=float),
        ],
        post_process=[],
    )


def paths():
    """Return the same form, with paths in place of the lambdas."""
    return ApiForm(
        name="quakes",
        pre_process=[
            GlobalExtract(key="generated", lam="metadata.generated", dtype=int),
            ListExtract(lam="features"),
        ],
        data_features=[
            Feature(key="id", lam="id", dtype=str),
            Feature(key="mag", lam="properties.mag", dtype=float),
            Feature(key="place", lam="properties.place", dtype=str),
            Feature(key="time", lam="properties.time", dtype=int),
            Feature(key="updated", lam="properties.updated", dtype=int),
            Feature(key="tz", lam="properties.tz", dtype=int),
            Feature(key="felt", lam="properties.felt", dtype=int),
            Feature(key="cdi", lam="properties.cdi", dtype=float),
            Feature(key="status", lam="properties.status", dtype=str),
            Feature(key="tsunami", lam="properties.tsunami", dtype=bool),
            Feature(key="sig", lam="properties.sig", dtype=int),
            Feature(key="net", lam="properties.net", dtype=str),
            Feature(key="lon", lam="geometry.coordinates[0]", dtype=float),
            Feature(key="lat", lam="geometry.coordinates[1]", dtype=float),
            Feature(key="depth", lam="geometry.coordinates[2]", dtype=float),
        ],
        post_process=[],
    )


def main():
    """Extract; print the times."""
    page, way, rounds = sys.argv[1:]
    logging.disable(logging.CRITICAL)  # the package of 2021 logs a traceback for each null
    with open(page, encoding="utf-8") as file:  # noqa: PTH123
        data = json.load(file)
    form = {"lambdas": lambdas, "paths": paths}[way]
    extractor = Api2Pandas(form)
    frame = extractor.extract(data)
    seconds = []
    for _ in range(int(rounds)):
        began = time.perf_counter()
        extractor.extract(data)
        seconds.append(time.perf_counter() - began)
    values = frame.to_json(orient="split", double_precision=10).encode()
    digest = hashlib.sha256(values).hexdigest()
    print(json.dumps({"seconds": seconds, "rows": len(frame), "digest": digest}))


if __name__ == "__main__":
    main()
