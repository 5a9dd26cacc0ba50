"""Connections to a host by name: every address within one deadline."""

from __future__ import annotations

import ipaddress
import queue
import socket
import threading
import time

import httpcore2


class Deadline:
    """
    The instant at which the exchange under way must be over; real time, for sockets.

    A read timeout alone does not stop a body that comes byte by byte: each byte starts it
    anew. Here every operation gets what is left.
    """

    def __init__(self) -> None:
        self._at = float("inf")

    def set(self, seconds: float) -> None:
        """Begin an exchange that may take *seconds*."""
        self._at = time.monotonic() + seconds

    def left(self) -> float:
        """
        Return the seconds left.

        Raises:
            httpcore2.ReadTimeout: None are left.
        """
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the deadline has passed")
        return left


def connect(
    backend: httpcore2.NetworkBackend, host: str, port: int, deadline: Deadline
) -> httpcore2.NetworkStream:
    """
    Return a TCP connection to *host*: its addresses are tried one after the other.

    An address may take its share of the time that is left, so that one which never answers
    leaves time for the others.

    Raises:
        httpcore2.ConnectTimeout: None answered within the deadline.
        httpcore2.ConnectError: The name cannot be resolved, or no address can be connected.
    """
    addresses = _addresses(host, port, deadline)
    failure: Exception | None = None
    for i, address in enumerate(addresses):
        share = deadline.left() / (len(addresses) - i)
        try:
            return backend.connect_tcp(address, port, share)
        except httpcore2.ConnectTimeout as exc:
            failure = failure or exc
        except httpcore2.ConnectError as exc:  # says more than a timeout
            failure = exc
    assert failure is not None
    raise failure


def _addresses(host: str, port: int, deadline: Deadline) -> list[str]:
    """Look *host* up beside this thread: the resolver has no timeout of ours."""
    if _is_literal(host):
        return [host]
    found: queue.SimpleQueue[list[str] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(info[4][0]) for info in infos)))
        except (OSError, ValueError, OverflowError) as exc:
            found.put(exc)

    threading.Thread(target=look_up, name=f"lookup-{host}", daemon=True).start()
    try:
        result = found.get(timeout=deadline.left())
    except queue.Empty as exc:
        raise httpcore2.ConnectTimeout("the name is not resolved in time") from exc
    if isinstance(result, Exception):
        raise httpcore2.ConnectError(result)
    return result


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
