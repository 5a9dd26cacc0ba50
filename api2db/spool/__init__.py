"""
The durable queue: one append-only log per collector, one cursor per stream.

::

    STORE/spool/<collector>/
        queue.json          {"format": 1, "id": 32 hex digits}
        seg/<seq>.seg       the log; see `segment` and `record`
        cur/<stream>.cur    one cursor per stream; see `cursor`
        cur/<stream>.gone   where one that is configured no more will go on
        quarantine/         damaged bytes, and report.json
        ballast             space in reserve
        held.keys           the poller's; see `ingest.heldkeys`

Invariants:

- `put` returns after the record is synced. A batch, the collector's state after it and its
  ledger entry are one record: all or nothing.
- After an error of `put` nothing was taken: what was written is cut off, or left behind in a
  segment whose successor says where it ends. No seq is given twice.
- A cursor is durable before anything below it is removed, and it is only ever behind.
- A segment is removed when no stream and no open poll needs it. The newest segment always
  holds the newest state, in its first record if nowhere else.
- CRCs are checked before bytes are decoded; lengths are bounded before they are used.
- Damage costs the damaged records. They are kept in quarantine, counted exactly by the running
  totals in every header, and reported; they never stop a start or a stream.
- Nothing is kept in memory per record.
"""
