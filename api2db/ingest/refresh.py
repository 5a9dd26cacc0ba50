"""
The newest refresh token of a credential, on disk: a server that replaces it takes no older one.

All that use the credential, in this process and beside it, take turns::

    <folder>/<digest of token_url, client_id and the configured token>/refresh_token

Another token in the configuration is another credential, and begins with itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from api2db.core.errors import SourceUnavailable
from api2db.files.atomic import atomic_write, make_folder
from api2db.files.lock import folder_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api2db.ingest.auth import OAuth2

logger = logging.getLogger(__name__)


class RefreshToken:
    """
    The refresh token of one source; used by one thread at a time.

    Args:
        folder: Where the tokens of all credentials lie; None keeps them in memory only.

    Attributes:
        value: What to send; empty if the grant needs none.
    """

    def __init__(self, settings: OAuth2, folder: Path | None) -> None:
        self.value = settings.refresh_token
        self._path: Path | None = None
        self._unsaved = False
        if folder is not None and self.value:
            names = (settings.token_url, settings.client_id, settings.refresh_token)
            digest = hashlib.sha256("\0".join(names).encode()).hexdigest()[:32]
            self._path = folder / digest / "refresh_token"

    @contextmanager
    def turn(self) -> Iterator[None]:
        """
        Have the credential to oneself; `value` is the newest.

        Raises:
            SourceUnavailable: Another process renews it now; or what a server would give
                could not be kept, so none must be asked.
        """
        if self._path is None:
            yield
            return
        folder = self._path.parent
        try:
            make_folder(folder)
            with folder_lock(folder):
                self._read(self._path)
                yield
        except BlockingIOError as exc:
            raise SourceUnavailable(
                "another process renews the refresh token", hint="it is asked again"
            ) from exc
        except OSError as exc:
            raise SourceUnavailable(
                f"refresh tokens cannot be kept in {folder}: {exc.strerror}",
                hint="let the user that runs api2db read and write there",
            ) from exc

    def replace(self, token: str) -> None:
        """Keep *token*, durably, in place of the one that was sent; within `turn`."""
        self._unsaved |= token != self.value
        self.value = token
        if self._path is None or not self._unsaved:
            return
        try:
            with atomic_write(self._path) as file:
                file.write(token.encode())
        except OSError as exc:  # the token works; it is written again with the next one
            logger.error(
                "refresh_token_not_kept",
                extra={"path": str(self._path), "error": exc.strerror},
            )
        else:
            self._unsaved = False

    def _read(self, path: Path) -> None:
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(13, os.strerror(13))
        if self._unsaved:
            return
        with suppress(FileNotFoundError):  # none was replaced yet
            self.value = path.read_bytes().decode(errors="replace") or self.value
