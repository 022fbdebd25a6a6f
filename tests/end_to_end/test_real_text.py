"""Real Wikipedia articles and novels, the genuine vocabulary, two ranks under the daemon, by the command line alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertd.records import EndRecord, ExportRecord, StartRecord, ValidationRecord
from bertd.run.journal import read_journal
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.realdata, pytest.mark.slow, pytest.mark.timeout(1800)]

_SMALL = {
    "budget.steps": "20",
    "model.layers": "2",
    "model.width": "64",
    "model.ffn": "128",
    "validation.max_sequences": "64",
}


def bertd(*arguments: str) -> str:
    """What the command prints."""
    command = [sys.executable, "-m", "bertd", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    """A daemon of its own."""
    path = tmp_path / "d.sock"
    command = [sys.executable, "-m", "bertd", "start", "--state-dir", str(tmp_path / "state"), "--socket", str(path)]
    daemon = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert daemon.stderr is not None
        for line in daemon.stderr:
            if "listening on" in line:
                break
        yield path
        daemon.terminate()
        assert daemon.wait(PATIENCE_S) == 0
    finally:
        daemon.kill()
        daemon.wait()
        if daemon.stderr is not None:
            daemon.stderr.close()


def test_real_text_is_counted_right_and_learned_from(real_data: Path, socket: Path, tmp_path: Path) -> None:
    wiki = sorted((real_data / "wikiextractor" / "AA").iterdir())[:2]
    books = tmp_path / "books.jsonl"
    books.write_text("".join((real_data / "books.jsonl").read_text().splitlines(keepends=True)[:50]))
    sources = [*(f"wikiextractor:{path}" for path in wiki), f"jsonl:{books}"]
    vocabulary = str(real_data / "vocab" / "bert-base-uncased-tokenizer.json")
    shards = tmp_path / "shards"
    bertd("data", "prepare", *sources, "--vocab", vocabulary, "--out", str(shards), "--validation", "0.02")

    counted = json.loads((shards / "manifest.json").read_text())["sources"]
    with_text = [source["kept"]["documents"] + source["skipped"].get("exact duplicate", 0) for source in counted]
    # An article is what stands between its title and </doc>; a redirect has nothing there.
    bodies = [re.findall(r"<doc [^>]*>\n[^\n]*\n(.*?)</doc>", path.read_text(), re.DOTALL) for path in wiki]
    assert with_text == [*(sum(bool(body.strip()) for body in found) for found in bodies), 50]
    assert [source["read"] for source in counted] == [*(len(found) for found in bodies), 50]

    overrides = [word for key, value in _SMALL.items() for word in ("--set", f"{key}={value}")]
    where = ["--socket", str(socket)]
    bertd("submit", "demo", "--set", f"data.shards={shards}", *overrides, *where)
    bertd("wait", "@", *where)

    (run,) = (tmp_path / "state" / "runs").iterdir()
    records = read_journal(run / "journal.jsonl")
    (start,) = (record for record in records if isinstance(record, StartRecord))
    (end,) = (record for record in records if isinstance(record, EndRecord))
    first, *_, last = (record for record in records if isinstance(record, ValidationRecord))
    assert start.world_size == 2
    assert (end.reason, end.step, end.lr) == ("budget", 20, 0.0)
    assert last.loss < first.loss
    assert [record.name for record in records if isinstance(record, ExportRecord)] == ["step-000000020"]
    shown = json.loads(bertd("status", "--json", *where))
    assert [job["state"] for job in shown["jobs"]] == ["done"]
