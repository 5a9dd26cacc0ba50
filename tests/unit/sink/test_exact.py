"""Which numbers a target would round, before they are sent."""

from __future__ import annotations

import pyarrow as pa
import pytest

from api2db.sink.exact import inexact_json


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("0.1", True),
        ("1.7976931348623157e308", True),
        ("18446744073709551615", True),
        ("18446744073709551616", False),
        ("0.10000000000000000555", False),
        ("1e999", False),
        ("1e" + "9" * 25, False),
        ("1e-" + "9" * 25, False),
    ],
)
def test_json_of_which_a_double_keeps_all_numbers(number: str, kept: bool) -> None:
    """Of any exponent: what no decimal holds is no reason to try the same rows for ever."""
    texts = pa.chunked_array([[f'{{"a": [{number}]}}', None, "{}"]], pa.string())
    assert list(inexact_json(texts, "j", "JSON column")) == ([] if kept else [0])
