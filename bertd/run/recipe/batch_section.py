"""[batch]: sequences a step, over the budget and over the devices."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from bertd.run.recipe.section import RecipeSection

_MAX_PADDING_SHARE = 1 / 8
"""Of a step's rows: what may be computed for nothing where the batch does not come out even, on 7 GPUs of 8 say."""


class BatchSection(RecipeSection):
    sequences: PositiveInt = 4096
    """In one step over all ranks. Source: Izsak et al. 2021, table 3."""
    ramp: list[tuple[Annotated[float, Field(gt=0.0, lt=1.0)], PositiveInt]] = []
    """Smaller steps at the start: [[0.1, 256], [0.3, 1024]] is 256 up to a tenth of the budget, 1024 up to three
    tenths, then `sequences`. The learning rate does not follow. Source: Geiping & Goldstein 2022; 24hBERT: none."""
    micro: PositiveInt | Literal["auto"] = 32
    """In one forward pass of one rank; auto measures which is fastest of those that fit. It cuts the batch and changes
    nothing else but rounding and which numbers dropout draws. Source: Izsak et al. 2021, table 6, Titan-V."""

    @model_validator(mode="after")
    def _check_ramp_rises(self) -> Self:
        shares = [share for share, _ in self.ramp]
        if shares != sorted(set(shares)):
            raise ValueError(f"ramp: the shares of the budget are {shares}; let each be larger than the one before")
        return self

    @property
    def step_sizes(self) -> list[int]:
        """Every number of sequences that a step can have."""
        return [*(size for _, size in self.ramp), self.sequences]

    def num_padding_rows(self, size: int, *, micro: int, num_devices: int) -> int:
        """Rows that hold no sequence where every device does a step's `size` in equally many whole micro-batches."""
        return -size % (micro * num_devices)

    def divides_among(self, num_devices: int, *, micro: int | None = None) -> bool:
        """Whether steps can be cut so without much work for nothing; by default into micro-batches as set."""
        rows = micro or (1 if self.micro == "auto" else self.micro)
        padding_rows = {
            size: self.num_padding_rows(size, micro=rows, num_devices=num_devices) for size in self.step_sizes
        }
        return all(rest <= _MAX_PADDING_SHARE * (size + rest) for size, rest in padding_rows.items())

    def sequences_at(self, progress: float) -> int:
        """In a step at this share of the budget."""
        return next((size for until, size in self.ramp if progress < until), self.sequences)

    def mean_sequences(self, progress: float) -> float:
        """In a step, over the steps that are left of a budget that counts steps."""
        return sum(share * size for share, size in self._remaining_sizes(progress))

    def steps_per_sequence(self, progress: float) -> float:
        """Over what is left of a budget that counts hours or sequences, both of which flow evenly."""
        return sum(share / size for share, size in self._remaining_sizes(progress))

    def _remaining_sizes(self, progress: float) -> list[tuple[float, int]]:
        """Each size that is still to come, with its share of what is left."""
        begin, left = min(progress, 1.0), []
        for until, size in [*self.ramp, (1.0, self.sequences)]:
            if until > begin:
                left.append((until - begin, size))
                begin = until
        total = sum(share for share, _ in left)
        return [(share / total, size) for share, size in left] or [(1.0, self.sequences)]
