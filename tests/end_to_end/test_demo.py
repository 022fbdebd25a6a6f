"""`python -m bertd.demo` as a newcomer runs it, with less text and a budget of seconds."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bertd.run.journal import read_journal
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

_BUDGET_S = 30
"""Loading torch in the ranks is charged too: with a load of 7 on two cores it took all of 16 s."""


@dataclass(frozen=True)
class Played:
    """One demo that came to its end."""

    folder: Path
    output: str
    code: int
    errors: str


def _command(folder: Path, *, budget_s: int = _BUDGET_S) -> list[str]:
    options = ["--budget", f"{budget_s}s", "--source-mb", "12", "--folder", str(folder)]
    return [sys.executable, "-m", "bertd.demo", *options]


def _still_running(folder: Path) -> list[str]:
    """Command lines of every process that was told of the folder."""
    found: list[str] = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(folder) in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(_command(folder), capture_output=True, text=True, check=False)
    return Played(folder=folder, output=done.stdout, code=done.returncode, errors=done.stderr)


def _run_folder(played: Played) -> Path:
    match = re.search(r"checkpoints and exports: (.+)", played.output)
    assert match
    return Path(match[1].strip())


def _number(pattern: str, text: str) -> float:
    match = re.search(pattern, text)
    assert match, f"{pattern} not in:\n{text}"
    return float(match[1].replace(",", ""))


def test_the_demo_goes_from_text_to_a_score(played: Played) -> None:
    assert (played.code, played.errors) == (0, ""), played.output
    entries = _number(r"([\d,]+) entries; ", played.output)
    assert 1_000 < entries <= 8_192
    loss = _number(r"this encoder +([\d.]+)", played.output)
    untrained = _number(r"untrained\) +([\d.]+)", played.output)
    unigram = _number(r"unigram entropy\) +([\d.]+)", played.output)
    blind = _number(r"uniform guess \(ln [\d,]+\) +([\d.]+)", played.output)
    assert loss < untrained < blind
    assert 4.0 < unigram < blind < 9.011
    assert "the learning rate ended at 0" in played.output
    assert "loads as MegatronBertForMaskedLM" in played.output
    assert re.search(r"the \[MASK\] of the list\.  ->  \S+ \d+%, ", played.output)
    assert re.search(r"is a sentence from the docstrings of .+, or of another package\?", played.output)
    assert -1 <= _number(r"words counted \(naive Bayes\), no encoder +(-?[\d.]+)", played.output) <= 1
    assert _number(r"always the most common answer +(0\.\d+) +", played.output) == 0.0
    assert "nothing is left running" in played.output


def test_training_lowered_the_loss_that_it_printed(played: Played) -> None:
    """Against its own beginning: on a busy machine seconds are too few steps to beat a uniform guess."""
    losses = [
        record.loss for record in read_journal(_run_folder(played) / "journal.jsonl") if record.kind == "validation"
    ]
    assert losses[-1] < losses[0]
    assert _number(r"this encoder +([\d.]+)", played.output) == pytest.approx(losses[-1], abs=1e-3)


def test_it_charges_about_the_budget(played: Played) -> None:
    charged = _number(r"sequences in (\d+)s charged", played.output)
    # At the least it trains for half of it: the other half may be kept for the last validation, save and export.
    assert charged >= _BUDGET_S // 2


def test_its_run_folder_is_there_and_nothing_else_is_alive(played: Played) -> None:
    run = _run_folder(played)
    assert run.is_relative_to(played.folder)
    assert (run / "journal.jsonl").is_file()
    assert list((run / "exports").glob("step-*/model.safetensors"))
    assert not (played.folder / "bertd.sock").exists()
    assert _still_running(played.folder) == []


def test_ctrl_c_stops_everything_with_one_line_and_the_corpus_is_not_built_again(played: Played) -> None:
    # Long enough that it is training when the signal comes, however busy the machine is.
    command = _command(played.folder, budget_s=600)
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert demo.stdout is not None and demo.stderr is not None
        heard: list[str] = []
        for line in demo.stdout:
            heard.append(line)
            if re.search(r"% .* step \d+  loss ", line):
                break
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE_S) == 130
        assert demo.stderr.read() == "demo: stopped by Ctrl-C; everything it started was ended\n"
    finally:
        demo.kill()
        demo.wait()
        for stream in (demo.stdout, demo.stderr):
            if stream is not None:
                stream.close()
    assert "is reused from an earlier demo with the same files" in "".join(heard)
    assert "are reused from an earlier demo" in "".join(heard)
    assert _still_running(played.folder) == []
