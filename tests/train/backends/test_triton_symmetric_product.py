"""The own symmetric product, in Triton's interpreter and compiled for cards that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.backends.test_triton_attention import run_tests


@pytest.mark.long
def test_it_multiplies_in_tritons_interpreter(tmp_path: Path) -> None:
    run_tests("interpreted_symmetric_product.py", tmp_path=tmp_path, TRITON_INTERPRET="1")


@pytest.mark.long
def test_it_compiles_for_cards_that_are_not_there(tmp_path: Path) -> None:
    run_tests("compiled_symmetric_product.py", tmp_path=tmp_path)
