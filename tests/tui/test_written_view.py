"""`w`: a view as SVG and CSV in the current folder."""

from __future__ import annotations

import csv
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from textual.pilot import Pilot

from bertd.api.models import SeriesView
from tests.tui.fake_feed import NOW, FakeFeed
from tests.tui.screen_text import screen_text
from tests.tui.settled import settled
from tests.tui.test_hostile_text import _hostile_feed
from tui.dashboard import Dashboard
from tui.display_options import DisplayOptions
from tui.simulated.feed import SimulatedFeed
from tui.written_view import Table, curves_table, write_view


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def _write(app: Dashboard, pilot: Pilot[None], keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


def _rows(folder: Path, view: str) -> list[list[str]]:
    (path,) = folder.glob(f"bertd-{view}-*.csv")
    with path.open(newline="") as file:
        return list(csv.reader(file))


async def test_each_view_is_written_with_its_picture_and_its_figures(folder: Path) -> None:
    feed = FakeFeed()
    feed.scored = SimulatedFeed(clock=lambda: NOW).scores()
    app = Dashboard(feed, options=DisplayOptions())
    async with app.run_test(size=(120, 40)) as pilot:
        await _write(app, pilot, "w2w3w5w6w0w")
        assert "wrote" in screen_text(app) and str(folder)[:40] in screen_text(app)
    for view, head, text in [
        ("run", "progress", ""),
        ("queue", "id", "academic-large"),
        ("scores", "job_id", "cola"),
        ("events", "id", "checkpoint"),
        ("devices", "id", "TITAN V"),
        ("fleet", "host", "12-academic-large"),
    ]:
        rows = _rows(folder, view)
        assert rows[0][0] == head and len(rows) > 1
        assert len({len(row) for row in rows}) == 1
        assert text in str(rows)
        (picture,) = folder.glob(f"bertd-{view}-*.svg")
        assert "12-academic-large" in "".join(ElementTree.parse(picture).getroot().itertext()).replace("\xa0", " ")
        assert "@font-face" not in picture.read_text()


async def test_a_picture_and_a_table_of_hostile_names_hold_no_control_character(folder: Path) -> None:
    app = Dashboard(_hostile_feed(), options=DisplayOptions())
    async with app.run_test(size=(120, 40)) as pilot:
        await _write(app, pilot, "w2w")
    written = list(folder.iterdir())
    assert {path.suffix for path in written} == {".svg", ".csv"}
    for path in written:
        assert not [
            sign for sign in path.read_text() if (ord(sign) < 0x20 and sign != "\n") or 0x7F <= ord(sign) < 0xA0
        ]
        if path.suffix == ".svg":
            ElementTree.parse(path)


async def test_a_folder_that_takes_no_file_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str, **_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    app = Dashboard(FakeFeed(), options=DisplayOptions())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("w")
        await pilot.pause()
        assert "cannot write into this folder: Permission denied" in screen_text(app)


def test_a_file_is_never_replaced(folder: Path) -> None:
    table: Table = [["x", "loss"], [0.5, float("nan")]]
    first = write_view("run", svg="<svg/>", table=table, folder=folder, now=NOW)
    second = write_view("run", svg="<svg/>", table=table, folder=folder, now=NOW)
    assert [path.name for path in first] == ["bertd-run-20251123-121320.svg", "bertd-run-20251123-121320.csv"]
    assert len({*first, *second}) == 4
    assert first[1].read_text() == "x,loss\n0.5,\n"


def test_curves_with_different_points_are_joined_by_x() -> None:
    series = SeriesView(run_id="1-a", x="step", columns={"loss": [(1, 5.0), (2, 4.0)], "validation": [(2, 4.5)]})
    assert curves_table(series) == [["step", "loss", "validation"], [1, 5.0, None], [2, 4.0, 4.5]]
    assert curves_table(None) == []
