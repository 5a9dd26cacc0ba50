"""What becomes of rows that a table holds already: the argument `if_exists` of streams."""

from __future__ import annotations

from typing import Any

from api2db.core.errors import ConfigError

WORDS = ("append", "replace", "fail")


def checked(name: str, word: str) -> str:
    """Return *word*, if it is one of `WORDS`; else raise ConfigError about the collector *name*."""
    if word not in WORDS:
        raise ConfigError(f"{name}: if_exists is {word!r}", hint=f"use {', '.join(WORDS)}")
    return word


def delivery(table: str, word: str) -> dict[str, Any]:
    """Return what `Stream._delivery` does for *table*."""
    return {"table": table, "replace": word == "replace", "must_be_new": word == "fail"}
