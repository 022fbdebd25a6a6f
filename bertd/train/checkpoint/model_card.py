"""README.md of an export: what the model is made of and what it cost.

It may be published, so it names no folder of this machine: an absolute path is told by its last name alone.
"""

from __future__ import annotations

from pathlib import PurePath

from bertd.data.dataset.manifest import Manifest, SourceCounts, SplitCounts
from bertd.run.durations import format_duration
from bertd.run.recipe.load import format_recipe
from bertd.run.recipe.schema import Recipe
from bertd.terminal_text import terminal_line
from bertd.train.run_inputs import VALIDATION_RATE
from bertd.train.state import TrainState


def model_card(recipe: Recipe, state: TrainState, data: Manifest, *, mask_token: str, charged_s: float) -> str:
    """Markdown with the metadata block that model hubs read.

    Args:
        recipe: with the budget as it was by then.
        data: what it was trained on.
        mask_token: as its vocabulary spells it.
    """
    loss = "not measured" if state.validation_loss is None else f"{state.validation_loss:.4f} nats"
    band = state.band
    train = f"{band.mean:.4f} nats (running mean)" if band is not None and band.seen else "not measured"
    budget = f"{recipe.budget.amount:g} {recipe.budget.unit.value}"
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
pipeline("fill-mask", "path/of/this/folder")("A sentence with one {mask_token}.")
```

The data, by source:

{_format_sources(data.sources)}

The recipe:

```toml
{format_recipe(_remove_private_paths(recipe))}```
"""


def _format_amount(counts: SplitCounts) -> str:
    return f"{counts.documents:,} documents, {counts.tokens:,} tokens"


def _format_sources(sources: list[SourceCounts]) -> str:
    # In backticks nothing of a path is markup but a backtick.
    names = [terminal_line(f"{source.kind}:{_strip_folder(source.path)}").replace("`", "'") for source in sources]
    return "\n".join(f"- `{name}`: {_format_amount(source.kept)}" for name, source in zip(names, sources, strict=True))


def _remove_private_paths(recipe: Recipe) -> Recipe:
    start_from = recipe.model.start_from
    model = recipe.model.model_copy(update={"start_from": start_from and _strip_folder(start_from)})
    data = recipe.data.model_copy(update={"shards": _strip_folder(recipe.data.shards)})
    return recipe.model_copy(update={"model": model, "data": data})


def _strip_folder(path: str) -> str:
    """A name on a hub or a relative path as it is."""
    return PurePath(path).name if path.startswith(("/", "~")) else path
