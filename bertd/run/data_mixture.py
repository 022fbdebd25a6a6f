"""The data of a recipe: one prepared data set, or several that are mixed by weights.

A weight is a share of the sequences: with {wiki = 3, books = 1} each 4 sequences in a row are 3 of wiki and 1 of
books, however large the sets are. A set that is used up begins its next epoch on its own, so a small set is repeated
more often. The members are in the order of their fingerprints, so neither the order in the recipe nor a path decides
about a run.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bertd.errors import ShardError
from bertd.run.dataset_manifest import (
    MAX_PACKED_SEQUENCES,
    Manifest,
    SourceCounts,
    SplitCounts,
    SplitName,
    count_sequences,
    no_sequence_message,
    read_manifest,
    too_many_to_pack_message,
)
from bertd.terminal_text import terminal_line


@dataclass(frozen=True)
class MixtureMember:
    """One data set of a mixture."""

    root: Path
    weight: int
    """Sequences in each cycle of the mixture; the weights of a mixture have no common divisor."""
    manifest: Manifest


@dataclass(frozen=True)
class MixtureManifest:
    """The manifests of a recipe's data sets."""

    members: tuple[MixtureMember, ...]
    """In the order of their fingerprints."""

    @property
    def vocab_size(self) -> int:
        return self.members[0].manifest.vocab_size

    @property
    def fingerprint(self) -> str:
        """That of the data set if there is one; otherwise sha256 over fingerprints and weights."""
        if len(self.members) == 1:
            return self.members[0].manifest.fingerprint
        pairs = [(member.manifest.fingerprint, member.weight) for member in self.members]
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()

    @property
    def place(self) -> str:
        """The folders as text, for messages."""
        return " and ".join(str(member.root) for member in self.members)

    @property
    def splits(self) -> dict[SplitName, SplitCounts]:
        """Counts over all members, without weights."""
        return {"train": self._total("train"), "validation": self._total("validation")}

    @property
    def sources(self) -> list[SourceCounts]:
        """The sources of all members."""
        return [source for member in self.members for source in member.manifest.sources]

    def share(self, member: MixtureMember) -> float:
        """Share of the sequences that are read from a member."""
        return member.weight / sum(each.weight for each in self.members)

    def count_sequences(self, split: SplitName, *, sequence_length: int, packing: str) -> int:
        """Sequences of a split over all members: exactly for the packing "full", else the least there can be."""
        return sum(
            count_sequences(member.manifest.splits[split], sequence_length=sequence_length, packing=packing)
            for member in self.members
        )

    def require_sequences(self, split: SplitName, *, sequence_length: int, packing: str) -> None:
        """Check that each member has a sequence in the split, and not too many for the packing.

        Raises:
            ShardError: one has none, or too many.
        """
        for member in self.members:
            counts = member.manifest.splits[split]
            num_sequences = count_sequences(counts, sequence_length=sequence_length, packing=packing)
            if packing == "sentences" and num_sequences > MAX_PACKED_SEQUENCES:
                raise ShardError(too_many_to_pack_message(member.root, split=split, num_sequences=num_sequences))
            if not num_sequences:
                raise ShardError(
                    no_sequence_message(member.root, split=split, counts=counts, sequence_length=sequence_length)
                )

    def lines(self, *, sequence_length: int, packing: str, sequences: float | None) -> list[str]:
        """Each member of a mixture on a line: its share, and its epochs where the number of sequences is known."""
        if len(self.members) == 1:
            return []
        lines = []
        for member in self.members:
            of_member = count_sequences(
                member.manifest.splits["train"], sequence_length=sequence_length, packing=packing
            )
            epochs = None if sequences is None or not of_member else sequences * self.share(member) / of_member
            read = f"{of_member:,} sequences" + ("" if epochs is None else f", {epochs:,.2f} epochs")
            lines.append(f"{self.share(member):.1%} of {terminal_line(member.root.name)} ({read})")
        return lines

    def _total(self, split: SplitName) -> SplitCounts:
        each = [member.manifest.splits[split] for member in self.members]
        return SplitCounts(
            documents=sum(counts.documents for counts in each),
            sentences=sum(counts.sentences for counts in each),
            tokens=sum(counts.tokens for counts in each),
        )


def read_mixture(weights: Mapping[str, int]) -> MixtureManifest:
    """Read the manifests of a recipe's data sets.

    Args:
        weights: paths with their weights.

    Raises:
        ShardError: one is missing or damaged, has another tokenizer than the first, or is there twice.
    """
    return mix_manifests({Path(path): (weight, read_manifest(Path(path))) for path, weight in weights.items()})


def mix_manifests(members: Mapping[Path, tuple[int, Manifest]]) -> MixtureManifest:
    """Mix data sets whose manifests are read.

    Args:
        members: weight and manifest by folder.

    Raises:
        ShardError: two have other tokenizers or the same content.
    """
    divisor = math.gcd(*(weight for weight, _ in members.values()))
    mixed = [MixtureMember(root, weight // divisor, manifest) for root, (weight, manifest) in members.items()]
    first, by_fingerprint = mixed[0], dict[str, MixtureMember]()
    for member in mixed:
        if member.manifest.tokenizer.fingerprint != first.manifest.tokenizer.fingerprint:
            raise ShardError(
                f"{member.root}: has another tokenizer than {first.root}, and a mixture has one; prepare it again with "
                f"--vocab {first.root / 'tokenizer'}"
            )
        other = by_fingerprint.setdefault(member.manifest.fingerprint, member)
        if other is not member:
            raise ShardError(
                f"{member.root}: holds the same as {other.root}; leave one out, and give the other both weights"
            )
    return MixtureManifest(tuple(by_fingerprint[key] for key in sorted(by_fingerprint)))
