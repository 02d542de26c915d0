"""The reproduction ledger says what comes out of the published files."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERDICTS = ("reproduced", "circular", "rule unknown", "disagrees", "data not at hand")
spec = importlib.util.spec_from_file_location("ledger", ROOT / "benchmarks" / "ledger.py")
ledger = importlib.util.module_from_spec(spec)
spec.loader.exec_module(ledger)


@pytest.fixture(scope="module")
def rows():
    return ledger.page_rows((ROOT / "docs" / "ledger.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", ledger.ENTRIES)
def test_our_value_is_what_the_published_files_give(data, rows, number):
    assert rows[number][2] == ledger.ENTRIES[number](data)


@pytest.mark.parametrize(
    ("number", "value", "published", "within"),
    [
        ("B5", 0, 0.44, 0.005),
        ("B13", 0, 0.536, 0.0005),
        ("M5", 0, 82, 0.5),
        ("M8", 0, 0.60, 0.05),
        ("M12", -1, 0.975, 0.005),
        ("M13", 0, 14, 0.5),
        ("M15", 0, 0.061, 0.005),
        ("N12", 0, 0.0055, 0.0005),
        ("N15", 0, 0.59, 0.005),
    ],
)
def test_what_is_called_reproduced_lies_beside_the_published_value(rows, number, value, published, within):
    found = [float(text) for text in re.findall(r"\d*\.?\d+", rows[number][2])]
    assert found[value] == pytest.approx(published, abs=within)


def test_every_row_has_a_verdict_and_a_reason(rows):
    assert len(rows) > 50
    for row in rows.values():
        assert len(row) == 6 and row[5], row
        assert row[4].startswith(VERDICTS), row
