"""What a data set says of the text that was left out: exact sums, samples of bounded size, warnings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertd.data.commands import inspect
from bertd.data.commands.prepare import main
from bertd.data.dataset.left_out_report import LEFT_OUT_FILE, SourceLeftOut, read_left_out
from bertd.data.prepare.parts import task_planner
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.data.sources.readers import document as document_module
from bertd.data.sources.readers.left_out import MAX_SAMPLE_CHARACTERS, MAX_SAMPLES, LeftOut, SkipReason
from bertd.run.dataset_manifest import MANIFEST_FILE, Filters, Manifest
from tests.data.conftest import made_up_text


def write_jsonl(path: Path, texts: list[str | None]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def write_dump(path: Path, *pages: str) -> Path:
    elements = "".join(f"<page><ns>0</ns><revision><text>{page}</text></revision></page>\n" for page in pages)
    path.write_text(f"<mediawiki>\n{elements}</mediawiki>\n")
    return path


@pytest.mark.parametrize("dedup", ["none", "exact", "near"])
def test_the_characters_of_every_reason_add_up_to_those_read(
    tmp_path: Path, vocab: Path, monkeypatch: pytest.MonkeyPatch, dedup: str
) -> None:
    monkeypatch.setattr(task_planner, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(task_planner, "PART_BYTES", 4000)
    monkeypatch.setattr(document_module, "MAX_DOCUMENT_BYTES", 20_000)
    prose: list[str | None] = [made_up_text(number, sentences=12) for number in range(30)]
    long = made_up_text(99, sentences=2000)
    texts = [*prose, prose[0], f"{prose[1]} More.", None, "", "short", "река камень " * 9, f"  {prose[2]}.\r\n", long]
    lines = write_jsonl(tmp_path / "lines.jsonl", texts)
    filters = Filters.model_validate({"dedup": dedup, "min_characters": 6, "min_ascii_share": 0.5, "max_documents": 25})
    reports = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}"
        manifest = prepare(
            [str(lines)], out=out, options=PrepareOptions(vocab=str(vocab), filters=filters), processes=processes
        )
        report = read_left_out(out)
        assert report is not None
        (source,) = report.sources
        reports.append(source)
        assert source.read == source.kept + sum(source.left_out.values())
        # Each document that is left out has characters, except for an empty one.
        assert set(manifest.sources[0].skipped) <= set(source.left_out) | {"no text"}
        assert all(len(samples) <= MAX_SAMPLES for samples in source.samples.values())
        assert all(len(one) <= MAX_SAMPLE_CHARACTERS for samples in source.samples.values() for one in samples)
    assert reports[0] == reports[1]
    whole = Filters.model_validate({"dedup": dedup})
    prepare([str(lines)], out=tmp_path / "all", options=PrepareOptions(vocab=str(vocab), filters=whole), processes=1)
    report = read_left_out(tmp_path / "all")
    assert report is not None
    (source,) = report.sources
    parsed = [text for text in texts[:-1] if text is not None]
    # A line that lacks the text, or is too long to be parsed, counts with all of its characters.
    others = len('{"text": null}') + len(json.dumps({"text": long}) + "\n")
    assert source.read == sum(map(len, parsed)) + others
    assert source.left_out["longer than 32 MiB"] == len(json.dumps({"text": long}) + "\n")
    assert source.left_out["spaces and line breaks"] == 5
    if dedup == "exact":
        assert source.left_out["exact duplicate"] == len(str(prose[0]))
        assert source.samples["exact duplicate"][0].startswith(str(prose[0])[:20].lower())


def test_samples_do_not_depend_on_the_order_or_on_how_they_are_merged() -> None:
    pieces = [f"piece {number} " * (1 + number % 5) for number in range(100)]
    forward, merged = LeftOut(), LeftOut()
    for piece in pieces:
        forward.add(SkipReason.TABLE, piece)
    for first in (50, 0):
        part = LeftOut()
        for piece in reversed(pieces[first : first + 50]):
            part.add(SkipReason.TABLE, piece)
        merged.update(LeftOut.from_record(part.to_record()))
    assert forward.to_record() == merged.to_record()
    assert len(forward.samples[SkipReason.TABLE]) == MAX_SAMPLES
    assert forward.total == sum(map(len, pieces))


def test_little_kept_is_warned_of_with_an_example_and_samples_are_shown(
    tmp_path: Path, vocab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = "".join(f"* Green stone {number}\n" for number in range(40))
    dump = write_dump(tmp_path / "dump.xml", f"{made_up_text(1, sentences=3)}\n{names}", made_up_text(2, sentences=4))
    out = tmp_path / "set"
    assert main([str(dump), "--vocab", str(vocab), "--out", str(out), "--processes", "1"]) == 0
    captured = capsys.readouterr()
    assert "characters read, " in captured.out and "list item that is not a sentence" in captured.out
    assert captured.err.startswith("bertd: warning: wiki-xml:")
    assert 'are left out as list item that is not a sentence, for example "Green stone ' in captured.err
    assert inspect.main([str(out), "--left-out"]) == 0
    shown = capsys.readouterr().out
    assert '    "Green stone ' in shown and "  list item that is not a sentence: " in shown
    assert inspect.main([str(out), "--left-out", "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)["left_out"]["sources"][0]
    assert SourceLeftOut.model_validate(tree).kept_share < 0.8


def test_where_nothing_is_kept_the_error_says_what_became_of_the_text(
    tmp_path: Path, vocab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump = write_dump(tmp_path / "dump.xml", "* [[Green stone]]\n* [[Bright river]]\n")
    assert main([str(dump), "--vocab", str(vocab), "--out", str(tmp_path / "set"), "--processes", "1"]) == 65
    captured = capsys.readouterr().err
    assert "(left out: 1 no text); 23 characters went as list item that is not a sentence, for example " in captured
    assert captured.count("\n") == 1


def test_what_options_leave_out_is_no_reason_to_warn(
    tmp_path: Path, vocab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = made_up_text(1, sentences=9)
    lines = write_jsonl(tmp_path / "lines.jsonl", [*[text] * 20, made_up_text(2, sentences=9)])
    assert main([str(lines), "--vocab", str(vocab), "--out", str(tmp_path / "set"), "--processes", "1"]) == 0
    captured = capsys.readouterr()
    assert "exact duplicate" in captured.out and "warning" not in captured.err


def test_an_older_data_set_says_that_it_did_not_count(
    tmp_path: Path, corpus: Path, vocab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    manifest = prepare([str(corpus)], out=out, options=PrepareOptions(vocab=str(vocab)), processes=1)
    (out / LEFT_OUT_FILE).unlink()
    files = {name: facts for name, facts in manifest.files.items() if name != LEFT_OUT_FILE}
    older = Manifest.model_validate(manifest.model_dump() | {"files": files})
    (out / MANIFEST_FILE).write_text(older.model_dump_json(indent=1) + "\n")
    assert inspect.main([str(out), "--left-out"]) == 0
    assert "did not count what it left out; prepare it again" in capsys.readouterr().out
    assert inspect.main([str(out), "--sequences", "0"]) == 0
    assert "characters read" not in capsys.readouterr().out
