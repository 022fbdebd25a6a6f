"""`bertd report`: what the page holds, that it stands alone, and that anybody can read it."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from bertd.cli.report.document import Chart, Code, Mark, Paragraph, Report, Section, Series, Table
from bertd.cli.report.html import write_html
from bertd.cli.report.markdown import write_markdown
from bertd.cli.report.recipe_differences import find_differences
from bertd.cli.report.run_facts import MAX_EVENTS, read_run_facts
from bertd.records import AlertRecord, EndRecord, JobEnergy, JournalRecord
from bertd.run.job_energy import write_job_energy
from bertd.run.journal import append_records
from bertd.run.paths import RunPaths
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.schema import Recipe
from tests.cli.conftest import Bertd
from tests.run.data_sets import write_manifest
from tests.run.plan.journals import SimulatedMachine, make_recipe

_VOID = {"meta", "br", "link", "img", "path", "circle"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects what a test asks about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def make_run(folder: Path, *more: JournalRecord, recipe: Recipe | None = None) -> Path:
    """A run of two minutes of the demo's recipe."""
    paths = RunPaths(folder)
    paths.root.mkdir(parents=True)
    recipe = recipe or make_recipe()
    paths.recipe.write_text(format_recipe(recipe))
    paths.provenance.write_text('{"bertd": "0.2.0", "packages": {"torch": "2.13.0"}}')
    append_records(paths.journal, [*SimulatedMachine().run(recipe), *more])
    return folder


def end(t: float = 119.0) -> EndRecord:
    return EndRecord(t=t, step=1000, sequences=16000, charged_s=t, reason="budget", detail="the budget is spent")


def test_a_page_has_every_part_and_stands_alone(bertd: Bertd, tmp_path: Path) -> None:
    shards = write_manifest(tmp_path / "shards")
    run = make_run(tmp_path / "7-demo", end(), recipe=make_recipe(f"data.shards={shards}"))
    out = tmp_path / "report.html"

    said = bertd("report", str(run), "--out", str(out))

    assert (said.code, said.out) == (0, f"{out}\n")
    text = out.read_text()
    page = Page(text)
    for title in ("Result", "Where the time went", "Curves", "Events", "Recipe", "Data", "Provenance", "Do it again"):
        assert f">{title}</h2>" in text
    for fact in ("5.0000 nats", "training", "optimizer.kind", "packages.torch", "bertd submit", "documents"):
        assert fact in page.text
    assert not re.search(r"(?:src|href)=[\"'](?!#)", text)
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_untrusted_text_is_only_text(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script>"onload="x`[a](b)|'
    chart = Chart(evil, evil, evil, [Series(evil, [(0.0, 1.0), (1.0, 2.0)])], [Mark(0.5, evil)])
    table = Table(evil, [evil], [[evil]])
    report = Report(evil, evil, [Section(evil, [Paragraph(evil), table, chart, Code(evil, f"{evil}\n```")])])

    html, markdown = write_html(report), write_markdown(report)

    assert "<script" not in html
    assert not [attributes for _, attributes in Page(html).attributes if "onload" in attributes]
    assert "<script" not in re.sub(r"````.*````", "", markdown, flags=re.DOTALL)
    assert "````" in markdown


def test_markdown_has_the_tables_and_points_of_the_curves(bertd: Bertd, tmp_path: Path) -> None:
    run, out = make_run(tmp_path / "7-demo", end()), tmp_path / "report.md"

    assert bertd("report", str(run), "--markdown", "--out", str(out)).code == 0

    text = out.read_text()
    assert text.startswith("# 7-demo\n")
    assert "| training | " in text
    assert "Loss: validation" in text
    tables = re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_several_runs_are_compared(bertd: Bertd, tmp_path: Path) -> None:
    first = make_run(tmp_path / "7-demo", end())
    second = make_run(tmp_path / "8-wide", end(), recipe=make_recipe("model.layers=3"))
    out = tmp_path / "both.html"

    assert bertd("report", str(first), str(second), "--out", str(out)).code == 0

    page = Page(out.read_text())
    assert "7-demo / 8-wide" in page.text
    assert "model.layers" in page.text
    assert "model.width" not in page.text
    assert page.text.count("Validation loss by") >= 3


def test_a_run_that_is_not_over_says_so(tmp_path: Path, bertd: Bertd) -> None:
    run, out = make_run(tmp_path / "7-demo"), tmp_path / "report.html"

    assert bertd("report", str(run), "--out", str(out)).code == 0

    assert "not over yet" in out.read_text()
    assert "the data set is not there any more" in out.read_text()


def test_a_folder_without_a_run_is_refused(bertd: Bertd, tmp_path: Path) -> None:
    said = bertd("report", str(tmp_path), "--out", str(tmp_path / "r.html"))

    assert said.code != 0
    assert "no journal there" in said.err
    assert not (tmp_path / "r.html").exists()


def test_of_many_events_the_newest_are_shown(tmp_path: Path) -> None:
    alerts = [
        AlertRecord(t=200.0 + number, step=1, level="warning", code="data", message=f"number {number}")
        for number in range(MAX_EVENTS + 50)
    ]

    facts = read_run_facts(make_run(tmp_path / "7-demo", *alerts))

    assert len(facts.events) == MAX_EVENTS
    assert facts.num_events == MAX_EVENTS + 51


def test_what_the_daemon_has_stored_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bertd.daemon.metrics import metrics_follower

    monkeypatch.setattr(metrics_follower, "_STORE_EVERY_BYTES", 1)
    run = make_run(tmp_path / "7-demo", end())
    follower = metrics_follower.MetricsFollower(run, recipe=make_recipe())
    while follower.follow():
        follower.store()

    again = metrics_follower.MetricsFollower(run, recipe=make_recipe(), journal_seen=2**63 - 1)

    assert again.offset == RunPaths(run).journal.stat().st_size
    assert read_run_facts(run).summary.end == end()


def test_energy_is_shown_where_it_was_measured(tmp_path: Path, bertd: Bertd) -> None:
    run, out = make_run(tmp_path / "7-demo", end()), tmp_path / "report.html"
    energy = JobEnergy(t=119.0, gpu_kwh=1.5, measured_s=3600.0, unmeasured_s=0.0, cost=0.47, currency="EUR")
    write_job_energy(RunPaths(run), energy)

    assert bertd("report", str(run), "--out", str(out)).code == 0

    assert "1.500 kWh of its GPUs, 0.47 EUR" in out.read_text()


def test_differences_are_by_key_and_a_name_is_none() -> None:
    found = find_differences(make_recipe("run.name=x", "optimizer.peak_lr=0.5"), make_recipe("run.name=y"))

    assert [(each.key, each.value, each.other) for each in found] == [("optimizer.peak_lr", "0.5", "0.004")]


def _contrast(first: str, second: str) -> float:
    """WCAG's contrast of two colours such as #fff."""

    def luminance(color: str) -> float:
        digits = color[1:] if len(color) == 7 else "".join(digit * 2 for digit in color[1:])
        parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_and_curves_have_contrast_on_every_ground() -> None:
    style = (files("bertd.cli.report") / "report.css").read_text()
    palettes = [dict(re.findall(r"--(\w+):(#\w+)", block)) for block in re.findall(r":root\{([^}]*)\}", style)]
    assert len(palettes) == 3
    for palette in palettes:
        for ground in (palette["bg"], palette["ground"]):
            for name in ("fg", "soft", "mark", "c0"):
                assert _contrast(palette[name], ground) >= 4.5, (name, palette[name], ground)
            for name in ("c1", "c2", "c3", "c4", "c5"):
                assert _contrast(palette[name], ground) >= 3.0, (name, palette[name], ground)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("width", [400, 1000])
def test_a_browser_shows_it_without_scrolling_sideways(width: int, tmp_path: Path, bertd: Bertd) -> None:
    run, out = make_run(tmp_path / "7-demo", end()), tmp_path / "report.html"
    assert bertd("report", str(run), "--out", str(out)).code == 0
    # A frame has the width that is asked for; a window of a browser has a smallest one.
    probe = (
        "<script>onload=()=>{const d=frames[0].document.documentElement;"
        "document.title=`${d.scrollWidth} ${frames[0].document.querySelectorAll('svg path.curve').length}`}</script>"
    )
    frame = tmp_path / "frame.html"
    frame.write_text(f'<iframe src="report.html" width="{width}" height="800" style="border:0"></iframe>{probe}')
    assert CHROMIUM is not None
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path}/c",
    ]

    dom = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", frame.as_uri()], capture_output=True, text=True, check=True
    ).stdout

    found = re.search(r"<title>(\d+) (\d+)</title>", dom)
    assert found is not None
    assert int(found[1]) <= width
    assert int(found[2]) > 5
