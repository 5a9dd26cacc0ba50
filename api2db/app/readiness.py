"""What `/readyz` says: why the daemon does not do its job at the moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def readiness(picture: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return ``{"ready": bool, "reasons": [{"collector", "stream", "reason"}]}`` of a snapshot.

    Not ready: a collector whose last poll failed, a stream whose oldest unsent batch is older
    than its ``max_age``, a thread that hangs.
    """
    reasons = list(_reasons(picture))
    return {"ready": not reasons, "reasons": reasons}


def _reasons(picture: Mapping[str, Any]) -> Iterator[dict[str, str | None]]:
    for name in picture["hung"]:
        yield {"collector": None, "stream": None, "reason": f"{name} hangs"}
    for name, collector in picture["collectors"].items():
        if collector["error"]:
            yield {"collector": name, "stream": None, "reason": collector["error"]}
        for stream, state in collector["streams"].items():
            if state["late"]:
                age = f"the oldest unsent batch is {state['oldest_unsent_seconds']:.0f} s old"
                why = f"{age}: {state['error']}" if state["error"] else age
                yield {"collector": name, "stream": stream, "reason": why}
