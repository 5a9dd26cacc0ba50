"""The same with dlt's REST source, not nested: from ``API_BASE``/eq into ``PG_DSN``, by append."""

from __future__ import annotations

import os

import dlt
from dlt.sources.rest_api import rest_api_source


def main() -> None:
    """Load all pages into a schema of this process."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    source = rest_api_source(
        {
            "client": {
                "base_url": os.environ["API_BASE"],
                "paginator": {"type": "json_link", "next_url_path": "next"},
            },
            "resources": [
                {
                    "name": "eq",
                    "endpoint": {"path": "eq", "data_selector": "features"},
                    "write_disposition": "append",
                    "max_table_nesting": 0,
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        pipeline_name=f"bench{os.getpid()}",
        dataset_name=f"dlt{os.getpid()}",
        pipelines_dir="dlt",
        destination=dlt.destinations.postgres(os.environ["PG_DSN"]),
    )
    pipeline.run(source)


if __name__ == "__main__":
    main()
