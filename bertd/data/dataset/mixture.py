"""The opened data sets of a recipe: one, or several that are mixed by weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from bertd.data.dataset.shards import DataSet
from bertd.run.data_mixture import MixtureManifest, mix_manifests
from bertd.tokenizer.vocabulary import Vocabulary


@dataclass(frozen=True)
class DataMixture:
    """Data sets that share a tokenizer."""

    sets: tuple[DataSet, ...]
    """In the order of `manifest.members`."""
    manifest: MixtureManifest

    @classmethod
    def open(cls, weights: Mapping[str, int]) -> Self:
        """Open every data set and check it against its manifest.

        Args:
            weights: paths with their weights, as `DataSection.weights` has them.

        Raises:
            ShardError: one is missing or damaged, or they cannot be mixed.
            VocabularyError: a tokenizer's files are not those that the shards were made with.
        """
        opened = {Path(path): DataSet.open(Path(path)) for path in weights}
        manifest = mix_manifests(
            {Path(path): (weight, opened[Path(path)].manifest) for path, weight in weights.items()}
        )
        return cls(sets=tuple(opened[member.root] for member in manifest.members), manifest=manifest)

    @property
    def weights(self) -> tuple[int, ...]:
        """Of each set, without a common divisor."""
        return tuple(member.weight for member in self.manifest.members)

    @property
    def fingerprint(self) -> str:
        """Equal for equal data and weights."""
        return self.manifest.fingerprint

    @property
    def place(self) -> str:
        """The folders as text, for messages."""
        return self.manifest.place

    @property
    def tokenizer_dir(self) -> Path:
        """What `AutoTokenizer.from_pretrained` loads."""
        return self.sets[0].tokenizer_dir

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return self.sets[0].vocabulary
