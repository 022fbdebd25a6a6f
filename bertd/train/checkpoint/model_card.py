"""The README.md of an export: model, data, recipe, losses and cost.

An export may be published, so the card has no folder names of this machine: of an absolute path only the last part.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath

from bertd.run.amounts.durations import format_duration
from bertd.run.amounts.quantities import format_budget_amount, format_count
from bertd.run.data_mixture import MixtureManifest
from bertd.run.dataset_manifest import SourceCounts, SplitCounts
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.schema import Recipe
from bertd.terminal_text import terminal_line
from bertd.train.run_inputs import VALIDATION_RATE
from bertd.train.state import TrainState


def model_card(recipe: Recipe, state: TrainState, data: MixtureManifest, *, mask_token: str, charged_s: float) -> str:
    """Markdown with the metadata block that model hubs read.

    Args:
        recipe: with the budget at the time of `state`.
        data: manifests of the training data.
        mask_token: the vocabulary's mask token.
    """
    part = "" if state.validation_share == 1.0 else f" on {state.validation_share:.0%} of the sequences"
    loss = "not measured" if state.validation_loss is None else f"{state.validation_loss:.4f} nats{part}"
    band = state.band
    train = f"{band.mean:.4f} nats (running mean)" if band is not None and band.seen else "not measured"
    budget = format_budget_amount(recipe.budget.unit, recipe.budget.amount)
    return f"""---
library_name: transformers
pipeline_tag: fill-mask
---

# {recipe.run.name}

A masked language model of {recipe.model.layers} layers x {recipe.model.width}, trained by bertd within a budget.

| | |
|---|---|
| Budget | {budget}; charged {format_duration(charged_s)} |
| Steps, sequences | {state.step:,}, {state.sequences:,} of {recipe.data.sequence_length} tokens |
| Training loss | {train} |
| Validation loss | {loss} ({VALIDATION_RATE:.0%} of the tokens masked) |
| Data to train on | {_format_amount(data.splits["train"])} |
| Data to validate with | {_format_amount(data.splits["validation"])} |
| Data fingerprint | `{state.data_fingerprint}` |
| Recipe sha256 | `{state.recipe_sha256}` |

```python
from transformers import pipeline
from bertd.run.amounts.quantities import format_count
pipeline("fill-mask", "path/of/this/folder")("A sentence with one {mask_token}.")
```

The data, by source:

{_format_sources(data.sources)}

The recipe:

```toml
{format_recipe(_remove_private_paths(recipe))}```
"""


def _format_amount(counts: SplitCounts) -> str:
    return f"{format_count(counts.documents, 'document')}, {format_count(counts.tokens, 'token')}"


def _format_sources(sources: list[SourceCounts]) -> str:
    # Inside backticks, a backtick is the only character of a path that is markup.
    names = [terminal_line(f"{source.kind}:{_strip_folder(source.path)}").replace("`", "'") for source in sources]
    return "\n".join(f"- `{name}`: {_format_amount(source.kept)}" for name, source in zip(names, sources, strict=True))


def _remove_private_paths(recipe: Recipe) -> Recipe:
    start_from = recipe.model.start_from
    model = recipe.model.model_copy(update={"start_from": start_from and _strip_folder(start_from)})
    data = recipe.data.model_copy(update={"shards": _strip_folders(recipe.data.shards)})
    return recipe.model_copy(update={"model": model, "data": data})


def _strip_folders(shards: str | Mapping[str, int]) -> str | dict[str, int]:
    if isinstance(shards, str):
        return _strip_folder(shards)
    stripped: dict[str, int] = {}
    for path, weight in shards.items():
        # Two folders of the same name stay apart.
        name = _strip_folder(path)
        stripped[name if name not in stripped else f"{name}-{len(stripped) + 1}"] = weight
    return stripped


def _strip_folder(path: str) -> str:
    """Return the last part of an absolute path; leave a relative path or a model name on a hub as it is."""
    return PurePath(path).name if path.startswith(("/", "~")) else path
