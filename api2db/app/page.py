"""The status page: one snapshot as HTML, every text from outside escaped."""

from __future__ import annotations

import time
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from api2db import __version__
from api2db.app.leftover import noted

_PAGE = Template(files(__package__).joinpath("page.html").read_text("utf-8"))

#: State of a stream -> how it looks; an error always looks bad.
_MOODS = {"retrying": "warn", "paused": "bad", "failed": "bad"}
_LABELS = ("landed", "waiting", "oldest unsent", "spilled", "dead")


def render(picture: dict[str, Any], nonce: str) -> str:
    """
    Return the page.

    Args:
        picture: From `snapshot.snapshot`.
        nonce: What the answer's Content-Security-Policy allows style and script by.
    """
    healthy = picture["healthy"]
    mood, word = ("good", "all is well") if healthy else ("bad", "needs attention")
    at = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(picture["at"]))
    head = (
        f"<header><h1>api2db <small>{__version__}</small></h1>{_chip(word, mood)}"
        f'<span class="soft">{escape(at)}</span></header>'
    )
    hung = "".join(_note(f"{name} hangs", "bad") for name in picture["hung"])
    hung += "".join(map(_note, noted({**picture, "collectors": {}})))
    sections = "".join(
        _collector(name, state, picture["at"]) for name, state in picture["collectors"].items()
    )
    return _PAGE.substitute(
        title="api2db" if healthy else "api2db: needs attention",
        dot="2a9d5c" if healthy else "c8372d",
        nonce=nonce,
        main=head + hung + sections,
    )


def _collector(name: str, state: dict[str, Any], now: float) -> str:
    bad = bool(state["error"])
    facts = (
        ("last poll", _ago(state["last_poll_at"], now)),
        ("result", state["last_result"] or "none yet"),
        ("next poll", _ahead(state["next_poll_at"], now)),
        ("rows collected", f"{state['rows_collected']:,}"),
        ("polls failed", f"{state['polls']['failed']:,} of {sum(state['polls'].values()):,}"),
        ("log on disk", _size(state["spool_bytes"])),
    )
    notes = _note(state["error"], "bad")
    if state["dead_rows"]:
        notes += _note(f"{state['dead_rows']:,} rows did not fit; they are in the dead letters.")
    notes += "".join(_note(f"damaged: {damage}", "bad") for damage in state["damage"])
    notes += "".join(
        _note(f"{batches:,} batches wait for {stream}, which is configured no more")
        for stream, batches in state["removed_streams"].items()
    )
    told = "".join(f"<div><dt>{term}</dt><dd>{escape(text)}</dd></div>" for term, text in facts)
    labels = "".join(f'<th class="n">{label}</th>' for label in _LABELS)
    streams = "".join(_stream(stream, found) for stream, found in state["streams"].items())
    return (
        f'<section><div class="head"><h2>{escape(name)}</h2>'
        f"{_chip(state['state'], 'bad' if bad else 'good')}</div><dl>{told}</dl>{notes}"
        f"<table><thead><tr><th>stream</th><th>state</th>{labels}</tr></thead>"
        f"<tbody>{streams}</tbody></table></section>"
    )


def _stream(name: str, state: dict[str, Any]) -> str:
    mood = _MOODS.get(state["state"], "good" if state["healthy"] else "warn")
    waiting = state["queued_batches"] + state["spilled_batches"]
    numbers = (
        f"{state['rows_landed']:,} rows",
        f"{state['queued_batches']:,} batches",
        _span(state["oldest_unsent_seconds"]) if waiting else "none",
        f"{state['spilled_batches']:,} batches",
        f"{state['dead_rows']:,} rows",
    )
    cells = "".join(
        f'<td class="n" data-label="{label}">{escape(text)}</td>'
        for label, text in zip(_LABELS, numbers, strict=True)
    )
    row = f"<tr><td>{escape(name)}</td><td>{_chip(state['state'], mood)}</td>{cells}</tr>"
    if not state["error"]:
        return row
    again = state["retry_seconds"]
    retry = "" if again is None else f"\nattempt {state['attempt'] + 1:,} in {_span(again)}"
    note = _note(state["error"] + retry, "bad" if mood == "bad" else "warn")
    return f'{row}<tr class="why"><td class="why" colspan="{len(_LABELS) + 2}">{note}</td></tr>'


def _chip(text: str, mood: str) -> str:
    return f'<span class="chip {mood}">{escape(text)}</span>'


def _note(text: str, mood: str = "warn") -> str:
    return f'<div class="note {mood}">{escape(text)}</div>' if text else ""


def _ago(at: float | None, now: float) -> str:
    return "none yet" if at is None else f"{_span(max(0.0, now - at))} ago"


def _ahead(at: float | None, now: float) -> str:
    return "under way" if at is None else f"in {_span(max(0.0, at - now))}"


def _span(seconds: float) -> str:
    """Return a duration as a person says it: ``8 s``, ``5 min 20 s``, ``3 h 12 min``."""
    if seconds == float("inf"):
        return "never"
    for unit, smaller, name, other in (
        (86400, 3600, "d", "h"),
        (3600, 60, "h", "min"),
        (60, 1, "min", "s"),
    ):
        if seconds >= unit:
            rest = int(seconds % unit // smaller)
            return f"{int(seconds // unit)} {name}" + (f" {rest} {other}" if rest else "")
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
