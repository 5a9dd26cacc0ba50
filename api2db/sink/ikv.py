"""
Rows into a store of IKV, as documents that their primary key names.

A document is written again without harm: it has the same fields with the same values. There is
nowhere to put a marker, for what is written cannot be read by the one who writes it. So all that
a replay does is to write the same documents again, in the order of the log.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from api2db.core.batch import Limit
from api2db.core.errors import ConfigError, SinkError, SinkMisconfigured, SinkUnavailable
from api2db.core.faults import crash_point
from api2db.sink import ikvdocuments
from api2db.sink.base import Delivery, Landed, Sink
from api2db.sink.ikverrors import translate
from api2db.sink.ikvgateway import Gateway
from api2db.sink.load import Load, null_keys, reject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from api2db.core.batch import Batch
    from api2db.sink.target import Ikv


class IkvSink(Sink):
    """
    One store, through one channel. Requests follow each other: the last one of a key wins.

    Raises:
        ConfigError: The rows have no key, or another one than the store.
    """

    #: A document costs the gateway an entry in its log: a load must end within its time.
    group: ClassVar[Limit] = Limit(16, 20_000, 16 * 2**20)

    def __init__(self, target: Ikv, delivery: Delivery) -> None:
        where, key = f"streams.{delivery.stream}", target.primary_key
        if delivery.replace:
            hint = f"write upsert: {key}"
            raise ConfigError(f"{where}: IKV cannot replace what a store holds", hint=hint)
        if delivery.upsert != (key,):
            text = f"{where}: IKV has no rows without its primary key, {key!r}"
            raise ConfigError(text, hint=f"write upsert: {key}")
        if not re.fullmatch(r"[^/\s]+:\d{1,5}", target.endpoint):
            text = f"{where}: {target.endpoint!r} is no endpoint of IKV"
            raise ConfigError(text, hint=f"write host:port, such as {target.ENDPOINT}")
        self.name = "ikv"
        self.delivery = delivery
        self.place = f"{target.endpoint}, store {target.store_name}"
        self._target = target
        self._gateway: Gateway | None = None
        self._interrupted = False
        self._keys: tuple[str, ...] = (key,)
        self._fields: dict[str, None] = {}  # all that were ever written here, in order

    # -- connection ----------------------------------------------------------------

    def open(self) -> None:
        """Log in, and look at the store's keys."""
        self._interrupted = False
        with self._edge():
            self._gateway = Gateway(self._target)
            primary, partition = self._gateway.keys()
        if primary != self._target.primary_key:
            raise SinkMisconfigured(
                f"IKV {self.place}: its primary key is {primary!r}",
                hint=f"write primary_key: {primary}, and upsert: {primary}",
            )
        self._keys = tuple(dict.fromkeys((primary, partition)))

    def interrupt(self) -> None:
        """Cut off the request under way."""
        self._interrupted = True
        gateway = self._gateway
        if gateway is not None:
            gateway.close()

    def close(self) -> None:
        """Close the channel."""
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.close()

    # -- markers -------------------------------------------------------------------

    def landed(self) -> frozenset[str]:
        """Return nothing: IKV holds no markers."""
        return frozenset()

    def forget(self, ids: Collection[str]) -> None:
        """Do nothing: there are no markers."""

    # -- rows ----------------------------------------------------------------------

    def write(
        self,
        batches: Sequence[Batch],
        *,
        forget: Collection[str] = (),
        commit: bool = True,
    ) -> Landed:
        """
        Write the last row of each key; fields that it lacks are removed.

        It is no transaction: readers see documents one by one, and a failure leaves what came
        before it. The same batches, written again, leave what they would have left.
        """
        full = [batch for batch in batches if batch.rows.num_rows]
        with self._edge():
            if full:
                self._write(full, commit=commit)
        return Landed(sum(batch.rows.num_rows for batch in full))

    def _write(self, batches: Sequence[Batch], *, commit: bool) -> None:
        reject(batches, null_keys(batches, self._keys))
        columns = dict.fromkeys(name for batch in batches for name in batch.rows.schema.names)
        names = ikvdocuments.field_names(columns)
        # Each value becomes text by its own type: what it becomes must not depend on its load.
        load = Load.of(batches, dict.fromkeys(columns, "str"))
        reject(batches, load.bad | ikvdocuments.unfit(load.columns, names, self._keys))
        if not commit:
            return
        self._fields |= dict.fromkeys(names.values())
        others = [name for name in self._fields if name not in names.values()]
        rows = load.last_per_key(self._keys[:1])
        chunk = self.delivery.chunk
        for documents in ikvdocuments.requests(ikvdocuments.encoded(rows, names), chunk):
            self._db.upsert(documents)
            crash_point("sink.mid_load")
        ids = ikvdocuments.encoded({key: rows[key] for key in self._keys}, names)
        for fields, which in ikvdocuments.removed(rows, names, others):
            for documents in ikvdocuments.requests(ids.take(pa.array(which)), chunk):
                self._db.delete_fields(documents, fields)

    @property
    def _db(self) -> Gateway:
        if self._gateway is None:
            raise SinkUnavailable("IKV: not connected")
        return self._gateway

    # -- errors --------------------------------------------------------------------

    @contextmanager
    def _edge(self) -> Iterator[None]:
        """Translate what gRPC raises, once, here."""
        try:
            yield
        except SinkError:
            raise
        except ConfigError as exc:  # a type that has no text
            raise SinkMisconfigured(exc.args[0], hint=exc.hint) from exc
        except Exception as exc:
            raise translate(exc, self._target.endpoint, interrupted=self._interrupted) from exc
