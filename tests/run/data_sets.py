"""A data set of which there is only the manifest, for tests that read no tokens."""

from __future__ import annotations

from pathlib import Path

from bertd.run.dataset_manifest import MANIFEST_FILE, Filters, Manifest, SplitCounts, TokenizerFacts


def write_manifest(folder: Path, *, train: int = 100_000, validation: int = 10_000, vocab_size: int = 1000) -> Path:
    """Write a manifest that counts these tokens, in documents of about a hundred; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = {
        name: SplitCounts(documents=-(-tokens // 100), sentences=-(-tokens // 10), tokens=tokens)
        for name, tokens in {"train": train, "validation": validation}.items()
    }
    facts = TokenizerFacts(fingerprint="f", lowercase=True, strip_accents=True, pad=0, unk=1, cls=2, sep=3, mask=4)
    manifest = Manifest.model_validate(
        {
            "vocab_size": vocab_size,
            "tokenizer": facts,
            "splits": splits,
            "validation_share": 0.005,
            "language": "en",
            "sources": [],
            "filters": Filters(),
            "files": {},
        }
    )
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json())
    return folder
