"""
An API of earthquakes in pages, with as little work of its own as can be.

``python pages_server.py PORT PAGES`` prepares every page (1,707 features of `demo/data`, the ids
made unique), prints ``ready`` and answers ``GET /eq[?page=K]`` on connections that stay open;
``next`` in a body is the address of the next page, null in the last one.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

FEED = Path(__file__).resolve().parents[2] / "demo" / "data" / "usgs_all_week_2018-02-07.geojson"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def answers(port: int, pages: int) -> list[bytes]:
    """Return the answer for each page, head and body."""
    feed = json.loads(FEED.read_text())
    made = []
    for number in range(pages):
        following = number + 1
        address = f"http://127.0.0.1:{port}/eq?page={following}" if following < pages else None
        rows = [{**row, "id": f"{row['id']}_{number}"} for row in feed["features"]]
        body = json.dumps({**feed, "features": rows, "next": address}, separators=(",", ":"))
        made.append(HEAD % len(body.encode()) + body.encode())
    return made


async def serve(port: int, pages: int) -> None:
    """Answer until killed."""
    ready = answers(port, pages)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                page = re.search(rb"page=(\d+)", head.split(b"\r\n", 1)[0])
                writer.write(ready[int(page[1]) if page else 0])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
