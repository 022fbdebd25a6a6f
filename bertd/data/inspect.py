"""`python -m bertd.data.inspect NAME`: what a data set holds, and what a recipe makes of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from bertd.data.inspection import PackingFacts, Shown, packing_facts, show_sequences
from bertd.data.manifest import Manifest
from bertd.data.pipeline import find_dataset, reasons
from bertd.data.sequences import Packing
from bertd.data.shards import DataSet
from bertd.errors import BertdError
from bertd.run.recipe import DataSection, MaskingSection, Recipe, find_recipe, read_recipe
from bertd.terminal_text import terminal_text


def budget_sequences(recipe: Recipe, *, sequences_per_s: float | None) -> float | None:
    """Sequences that a recipe's budget buys; None for a timed one without a known speed."""
    budget = recipe.granted
    if budget.total_s is not None:
        return None if sequences_per_s is None else sequences_per_s * budget.total_s
    return budget.amount * (recipe.batch.sequences if recipe.budget.steps is not None else 1)


def render(manifest: Manifest, *, root: Path, facts: list[PackingFacts], length: int, shown: list[Shown]) -> str:
    """The whole for a person to read."""
    case = "uncased" if manifest.tokenizer.lowercase else "cased"
    lines = [f"{root}", f"  {manifest.vocab_size:,} entries, {case}; fingerprint {manifest.fingerprint[:12]}"]
    lines += ["", "sources"]
    for source in manifest.sources:
        lines.append(
            f"  {source.kind}:{source.path}: {source.files:,} files, {source.bytes / 1e6:,.1f} MB; "
            f"{source.kept.documents:,} of {source.read:,} documents, {source.kept.tokens:,} tokens"
            f"{reasons(Counter(source.skipped))}"
        )
    lines += ["", "splits"]
    for name, counts in manifest.splits.items():
        mean = counts.tokens / max(1, counts.sentences)
        lines.append(
            f"  {name}: {counts.documents:,} documents, {counts.sentences:,} sentences of {mean:.1f} tokens, "
            f"{counts.tokens:,} tokens"
        )
    lines += ["", f"train sequences of {length} tokens"]
    for fact in facts:
        epochs = "" if fact.epochs is None else f", the budget buys {fact.epochs:,.2f} epochs"
        lines.append(f"  {fact.packing}: {fact.sequences:,} an epoch, {100 * fact.padding_share:.1f} % padding{epochs}")
    for sequence in shown:
        lines += ["", f"sequence {sequence.number:,}", f"  {sequence.text}"]
    return "\n".join(lines)


def _length(text: str) -> int:
    return DataSection(shards="here", sequence_length=int(text)).sequence_length


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bertd data inspect", description="Show what a data set holds.")
    parser.add_argument("dataset", metavar="NAME", help="name or path of a data set")
    parser.add_argument("--recipe", help="name or path: its sequence length, packing, masking and budget")
    parser.add_argument("--sequences-per-s", type=float, metavar="N", help="speed, to tell what hours of budget buy")
    parser.add_argument("--sequence-length", type=_length, metavar="S", help="instead of the recipe's, or 128")
    parser.add_argument("--sequences", type=int, default=10, metavar="N", help="how many to show (10)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    asked = _parser().parse_args(argv)
    try:
        root = find_dataset(asked.dataset)
        dataset = DataSet.open(root)
        recipe = None if asked.recipe is None else read_recipe(find_recipe(asked.recipe))
        data = DataSection(shards=str(root)) if recipe is None else recipe.data
        length = asked.sequence_length or data.sequence_length
        packing: Packing = data.packing
        bought = None if recipe is None else budget_sequences(recipe, sequences_per_s=asked.sequences_per_s)
        facts = packing_facts(dataset, sequence_length=length, budget_sequences=bought)
        shown = show_sequences(
            dataset,
            sequence_length=length,
            packing=packing,
            masking=MaskingSection() if recipe is None else recipe.masking,
            count=asked.sequences,
            seed=42 if recipe is None else recipe.run.seed,
        )
    except BertdError as error:
        print(f"bertd: {terminal_text(str(error))}", file=sys.stderr)
        return error.exit_code
    if asked.json:
        tree = {
            "path": str(root),
            "fingerprint": dataset.fingerprint,
            "manifest": dataset.manifest.model_dump(mode="json"),
            "packings": [asdict(fact) for fact in facts],
            "shown": [asdict(sequence) for sequence in shown],
        }
        print(json.dumps(tree))
    else:
        print(terminal_text(render(dataset.manifest, root=root, facts=facts, length=length, shown=shown)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
