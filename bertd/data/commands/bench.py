"""`python -m bertd.data.commands.bench SOURCE... --vocab WHERE`: measure the speed and memory of the data path.

prepare    compared with `tokenizers.encode_batch` alone on the same text and cores, in alternation, best of each
memory     peak of the prepare and all its workers, on the sources once and on five copies of them
loader     sequences per second of one rank's work on the host, with and without masking on the CPU
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from bertd.data.batches.masking import Masker
from bertd.data.batches.rows import open_sequences
from bertd.data.batches.sampler import locate_sequences
from bertd.data.dataset.shards import DataSet
from bertd.data.sources.readers.document import Document
from bertd.data.sources.spec import ReadingOptions, Source, find_sources, make_reader
from bertd.program import run_main
from bertd.terminal_text import terminal_json
from bertd.tokenizer.tokenizer import open_tokenizer

_NUM_ROUNDS = 3
_NUM_COPIES = 5
_DOCUMENTS_AT_ONCE = 1000
_SAMPLE_S = 0.05
_SEQUENCE_LENGTH = 128
_MAX_PREDICTIONS = 19
_MICRO_BATCH = 64
_LOADER_DURATION_S = 3.0


@dataclass(frozen=True)
class PrepareMeasurement:
    """Cost of one prepare, measured from outside."""

    wall_s: float
    cpu_s: float
    """Sum over all its processes."""
    peak_bytes: int
    """Resident memory of the process and its workers together; shared pages count once for each."""


@dataclass(frozen=True)
class BenchReport:
    """The measured numbers."""

    text_bytes: int
    cores: int
    encode_batch_mb_per_s: float
    prepare_mb_per_s: float
    ratio: float
    """Speed of prepare divided by that of encode_batch."""
    cpu_ratio: float
    """The same in processor time, which other load on the machine does not change."""
    peak_mib: float
    peak_of_copies_mib: float
    """The same on _COPIES times the sources."""
    rows_per_s: float
    """Sequences ordered and read."""
    masked_rows_per_s: float
    """Sequences ordered, read and masked on the CPU."""


def read_texts(sources: list[Source]) -> list[str]:
    """All documents of the sources."""
    options = ReadingOptions()
    texts = []
    for source in sources:
        reader = make_reader(source, options)
        for unit in source.units:
            with source.open(unit) as streams:
                for stream in streams:
                    for block in reader.blocks(stream.content, block_bytes=1 << 20):
                        documents = (one for one in reader.documents(block.content) if isinstance(one, Document))
                        texts += [document.text for document in documents if document.text]
    return texts


def time_encode_batch(texts: list[str], *, vocab: str) -> tuple[float, float]:
    """Wall-clock and processor seconds that `tokenizers` takes with its own threads on all cores."""
    tokenizer = open_tokenizer(vocab)
    begin_s, begin_cpu_s = time.perf_counter(), time.process_time()
    for first in range(0, len(texts), _DOCUMENTS_AT_ONCE):
        tokenizer.encode_batch(texts[first : first + _DOCUMENTS_AT_ONCE], add_special_tokens=False)
    return time.perf_counter() - begin_s, time.process_time() - begin_cpu_s


def measure_prepare(names: list[str], *, vocab: str, out: Path, cores: int) -> PrepareMeasurement:
    """Run a prepare in its own process; the start of the process is included.

    Raises:
        RuntimeError: it failed.
    """
    command = [
        sys.executable,
        "-m",
        "bertd.data.commands.prepare",
        *names,
        "--vocab",
        vocab,
        "--out",
        str(out),
        "--replace",
    ]
    begin_s, begin_cpu_s = time.perf_counter(), _children_cpu_s()
    running = psutil.Popen([*command, "--processes", str(cores), "--dedup", "none"], stdout=subprocess.DEVNULL)
    peak = 0
    while running.poll() is None:
        peak = max(peak, _resident_bytes(running))
        time.sleep(_SAMPLE_S)
    if running.returncode:
        raise RuntimeError(f"the prepare ended with {running.returncode}")
    return PrepareMeasurement(
        wall_s=time.perf_counter() - begin_s, cpu_s=_children_cpu_s() - begin_cpu_s, peak_bytes=peak
    )


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident_bytes(process: psutil.Process) -> int:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def measure_loader(root: Path) -> tuple[float, float]:
    """Sequences per second: only read, and read and masked."""
    dataset = DataSet.open(root)
    sequences = open_sequences(dataset, split="train", sequence_length=_SEQUENCE_LENGTH, packing="full")
    masker = Masker(
        seed=1,
        rate=0.15,
        max_predictions=_MAX_PREDICTIONS,
        replace=(0.8, 0.1, 0.1),
        vocabulary=dataset.vocabulary,
        sequence_length=_SEQUENCE_LENGTH,
    )

    def rate(*, masked: bool) -> float:
        begin_s = time.perf_counter()
        done = 0
        while time.perf_counter() - begin_s < _LOADER_DURATION_S:
            located = locate_sequences(
                np.arange(done, done + _MICRO_BATCH), num_sequences=sequences.num_sequences, seed=1
            )
            ids = torch.from_numpy(sequences.rows(located.indices))
            if masked:
                masker(ids, torch.from_numpy(located.keys))
            done += _MICRO_BATCH
        return done / (time.perf_counter() - begin_s)

    return rate(masked=False), rate(masked=True)


def copy_sources(sources: list[Source], *, folder: Path) -> list[str]:
    """Copy the sources' files _NUM_COPIES times; return the copies as names for a prepare."""
    names = []
    for number, source in enumerate(sources):
        for copy in range(_NUM_COPIES):
            for unit in source.files:
                target = folder / f"{number}-{copy}" / unit.name
                target.parent.mkdir(exist_ok=True)
                with unit.open("rb") as original, target.open("wb") as copied:
                    shutil.copyfileobj(original, copied)
            names.append(f"{source.kind}:{folder / f'{number}-{copy}'}")
    return names


def run_benchmark(names: list[str], *, vocab: str, cores: int, folder: Path) -> BenchReport:
    """Measure everything; `folder` takes the temporary files."""
    sources = find_sources(names)
    texts = read_texts(sources)
    text_bytes = sum(len(text.encode()) for text in texts)
    encode_batch_times, prepare_times = [], []
    for round_number in range(_NUM_ROUNDS):
        encode_batch_times.append(time_encode_batch(texts, vocab=vocab))
        prepare_times.append(measure_prepare(names, vocab=vocab, out=folder / "set", cores=cores))
        print(
            f"round {round_number + 1}: encode_batch {encode_batch_times[-1][0]:.1f} s, "
            f"prepare {prepare_times[-1].wall_s:.1f} s",
            file=sys.stderr,
        )
    (folder / "copies").mkdir()
    copies = copy_sources(sources, folder=folder / "copies")
    of_copies = measure_prepare(copies, vocab=vocab, out=folder / "large", cores=cores)
    rows_per_s, masked_rows_per_s = measure_loader(folder / "set")
    best_s, best_cpu_s = min(one.wall_s for one in prepare_times), min(one.cpu_s for one in prepare_times)
    encode_batch_s, encode_batch_cpu_s = (
        min(wall_s for wall_s, _ in encode_batch_times),
        min(cpu_s for _, cpu_s in encode_batch_times),
    )
    return BenchReport(
        text_bytes=text_bytes,
        cores=cores,
        encode_batch_mb_per_s=text_bytes / encode_batch_s / 1e6,
        prepare_mb_per_s=text_bytes / best_s / 1e6,
        ratio=encode_batch_s / best_s,
        cpu_ratio=encode_batch_cpu_s / best_cpu_s,
        peak_mib=max(one.peak_bytes for one in prepare_times) / 2**20,
        peak_of_copies_mib=of_copies.peak_bytes / 2**20,
        rows_per_s=rows_per_s,
        masked_rows_per_s=masked_rows_per_s,
    )


def _real_data_dir() -> Path:
    return Path(os.environ.get("BERTD_TEST_DATA") or Path.home() / ".cache" / "bertd-test-data")


def _real_corpora() -> list[str]:
    """190 MB of encyclopedia and novels, see _real_data_dir."""
    root = _real_data_dir()
    return [f"wikiextractor:{root}/wikiextractor", f"jsonl:{root}/books.jsonl", f"text:{root}/novels"]


def _real_vocab() -> str:
    return str(_real_data_dir() / "vocab" / "bert-base-uncased-tokenizer.json")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the exit status is the error's."""
    parser = argparse.ArgumentParser(prog="python -m bertd.data.commands.bench", description="Measure the data path.")
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="as for bertd data prepare (the real corpora)")
    parser.add_argument("--vocab", help="as for bertd data prepare (theirs)")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    return run_main(lambda: _measure(parser.parse_args(argv)))


def _measure(args: argparse.Namespace) -> None:
    cores = len(os.sched_getaffinity(0))
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="bertd-bench-") as folder:
        sources, vocab = args.sources or _real_corpora(), args.vocab or _real_vocab()
        report = run_benchmark(sources, vocab=vocab, cores=cores, folder=Path(folder))
    if args.json:
        print(terminal_json(json.dumps(asdict(report))))
        return
    print(f"text      {report.text_bytes / 1e6:.1f} MB, {cores} cores")
    print(
        f"prepare   {report.prepare_mb_per_s:.1f} MB/s, {report.ratio:.2f} x encode_batch "
        f"({report.encode_batch_mb_per_s:.1f} MB/s); in processor time {report.cpu_ratio:.2f} x"
    )
    print(f"memory    {report.peak_mib:.0f} MiB; on {_NUM_COPIES} copies {report.peak_of_copies_mib:.0f} MiB")
    print(f"loader    {report.rows_per_s:,.0f} sequences/s, masked {report.masked_rows_per_s:,.0f}")


if __name__ == "__main__":
    sys.exit(main())
