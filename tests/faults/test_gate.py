"""docs/reliability.md names a test for each row of the gate that needs no GPU, and each named test exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GATE = [
    *("A1", "A3", "A4", "A5", "A6", "A7", "A9", "A11", "A12", "A13", "A14", "A16"),
    *("B1", "B2", "B3", "B4", "B5", "B7", "B8", "B9", "B10", "B11", "B12", "C6", "C8", "C10", "C12"),
    *("D1", "D2", "D3", "D5", "E1", "E2", "E3", "E4", "E6", "E7", "E8", "E9", "E10", "E11"),
    *("F1", "F2", "F3", "F4", "F5", "G1", "G2", "G3", "G4", "G7", "H1"),
]
_ROW = re.compile(r"^\| ([A-H]\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> dict[str, str]:
    """Row to the tests that the page names for it."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    return {match[1]: match[3] for match in _ROW.finditer(text)}


def test_every_row_of_the_gate_is_there_once_and_in_order() -> None:
    assert list(rows()) == GATE


def test_every_row_names_a_test_or_says_what_is_missing() -> None:
    for row, held_by in rows().items():
        assert _TEST.search(held_by) or held_by.startswith("**not held**"), row


def test_every_test_that_is_named_exists() -> None:
    for row, held_by in rows().items():
        for path, name in _TEST.findall(held_by):
            text = (ROOT / path).read_text(encoding="utf-8")
            assert not name or f"def {name}(" in text, f"{row}: {path}::{name}"
