"""README.md of an export: what the model is made of and what it cost."""

from __future__ import annotations

from bertd.run.durations import format_duration
from bertd.run.recipe import Recipe
from bertd.run.recipe_file import write_recipe
from bertd.train.checkpoint import TrainingState
from bertd.train.opened_run import VALIDATION_RATE


def model_card(recipe: Recipe, state: TrainingState, *, charged_s: float) -> str:
    """Markdown with the metadata block that model hubs read."""
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
| Data fingerprint | `{state.data_fingerprint}` |
| Recipe sha256 | `{state.recipe_sha256}` |

```python
from transformers import pipeline
pipeline("fill-mask", "path/of/this/folder")("A sentence with one [MASK].")
```

The recipe:

```toml
{write_recipe(recipe)}```
"""
