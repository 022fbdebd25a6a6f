"""`make bench-scale`: figures and their limits."""

from __future__ import annotations

import json
import math
from typing import Literal

import pytest

from bertd.bench.scale.__main__ import main
from bertd.bench.scale.figures import ScaleFigure


@pytest.mark.parametrize(
    ("value", "bound", "is_missed"),
    [(1.0, "at most", False), (1.1, "at most", True), (1.0, "at least", False), (0.9, "at least", True)],
)
def test_a_limit_is_kept_or_missed(value: float, bound: Literal["at most", "at least"], is_missed: bool) -> None:
    assert ScaleFigure("x", value, "s", 1.0, bound).is_missed is is_missed
    assert ScaleFigure("x", math.nan, "s", 1.0).is_missed and not ScaleFigure("x", math.nan, "s").is_missed


def test_the_sampler_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--part", "sampler", "--json"]) == 0
    (figure,) = json.loads(capsys.readouterr().out)
    assert figure["name"] == "lookup of one of 2.4 billion sequences" and figure["limit"] == 1.0
    assert 0 < figure["value"] < 1000


def test_without_root_machines_are_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["--part", "machines", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == []
    assert "machines: left out: network namespaces need root" in said.err
