"""`python -m bertd.data.commands.fetch wikipedia|bookcorpus|glue`: download corpora and GLUE from the hub.

Corpora come as Parquet, which `bertd data prepare` reads as it is; GLUE is written as the TSV files of its own
download, which `bertd finetune` reads. An interrupted download continues where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from bertd.data.dataset.locate import resolve_data_path
from bertd.data.sources.glue_tsv import write_glue
from bertd.data.sources.spec import SourceKind
from bertd.errors import CorpusError, StorageError
from bertd.hub import hub_unreachable_reason
from bertd.program import run_main
from bertd.terminal_text import terminal_json, terminal_text


@dataclass(frozen=True)
class HubCorpus:
    """A data set on the hub that can be fetched by a short name."""

    repository: str
    patterns: tuple[str, ...]
    """Glob patterns of the files to download; `{language}` is filled in."""
    revision: str = "main"
    description: str = ""
    kind: SourceKind = SourceKind.PARQUET
    """How its files are read."""


CORPORA = {
    "wikipedia": HubCorpus(
        repository="wikimedia/wikipedia",
        patterns=("20231101.{language}/*.parquet",),
        description="all articles of a Wikipedia, cleaned; English takes 11 GB",
    ),
    # The original is a script, which datasets 4 and later do not run; the hub has it as Parquet on a branch.
    "bookcorpus": HubCorpus(
        repository="bookcorpus/bookcorpus",
        patterns=("plain_text/**/*.parquet",),
        revision="refs/convert/parquet",
        description="a re-crawl of BookCorpus, a sentence a row",
        kind=SourceKind.PARQUET_SENTENCES,
    ),
    "glue": HubCorpus(repository="nyu-mll/glue", patterns=("*/*.parquet",), description="the nine tasks"),
}


def download(corpus: HubCorpus, *, language: str, out: Path) -> Path:
    """Download the files.

    Returns:
        The folder that they are in.

    Raises:
        CorpusError: the hub cannot be reached, or does not have them.
        StorageError: the download failed.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [pattern.format(language=language) for pattern in corpus.patterns]
    if reason := hub_unreachable_reason(corpus.repository, kind="dataset"):
        raise CorpusError(_no_network_message(corpus, reason=reason, out=out))
    try:
        folder = Path(
            snapshot_download(
                corpus.repository, repo_type="dataset", revision=corpus.revision, allow_patterns=patterns, local_dir=out
            )
        )
    except LocalEntryNotFoundError as error:
        raise CorpusError(_no_network_message(corpus, reason="the connection was lost", out=out)) from error
    except HfHubHTTPError as error:
        reason = str(error).split("\n", 1)[0]
        raise CorpusError(f"{corpus.repository}: the hub refused: {reason}; try again later") from error
    except OSError as error:
        raise StorageError(f"{out}: cannot download: {error}; free space there or check the network") from error
    if not any(folder.rglob("*.parquet")):
        raise CorpusError(f"{corpus.repository}: holds no file like {', '.join(patterns)}; check --language")
    return folder


def _no_network_message(corpus: HubCorpus, *, reason: str, out: Path) -> str:
    return (
        f"{corpus.repository}: the hub cannot be reached from here ({reason}); run this command where it can be, "
        f"and copy the folder {out}"
    )


def fetch(name: str, *, language: str, out: Path) -> Path:
    """Download, and write GLUE's tables; return the folder.

    Raises:
        CorpusError: the hub cannot be reached, or does not have it.
    """
    folder = download(CORPORA[name], language=language, out=out)
    if name == "glue":
        write_glue(folder, out=folder)
    return folder


def next_command(name: str, folder: Path) -> str:
    """What to run with the files."""
    if name == "glue":
        return f"bertd finetune RUN --task cola --data {folder}"
    return f"bertd data prepare {CORPORA[name].kind}:{folder} --vocab VOCABULARY --out {name}"


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    names = "; ".join(f"{name}: {corpus.repository}, {corpus.description}" for name, corpus in CORPORA.items())
    parser = argparse.ArgumentParser(prog="bertd data fetch", description="Download from the hub.", epilog=names)
    parser.add_argument("corpus", choices=list(CORPORA), metavar="NAME", help=", ".join(CORPORA))
    parser.add_argument("--out", help="name, or path, of the folder for its files (NAME-files)")
    parser.add_argument("--language", default="en", help="of wikipedia, as in its address (en)")
    parser.add_argument("--json", action="store_true", help="print the folder as JSON")
    return run_main(
        lambda: _fetch(parser.parse_args(argv)), interrupted="interrupted; run the same command again to continue"
    )


def _fetch(args: argparse.Namespace) -> None:
    out = resolve_data_path(args.out or f"{args.corpus}-files")
    folder = fetch(args.corpus, language=args.language, out=out)
    if args.json:
        print(terminal_json(json.dumps({"folder": str(folder), "next": next_command(args.corpus, folder)})))
    else:
        print(terminal_text(f"{folder}: {next_command(args.corpus, folder)}"))


if __name__ == "__main__":
    sys.exit(main())
