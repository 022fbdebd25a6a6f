"""Read the entries of a tokenizer.json: their ids, and which are special.

Special tokens are found by their roles: cls and sep are what the tokenizer itself puts around a text, whatever their
names; the others are found by the names that BERT, ModernBERT and RoBERTa use, or by what their names contain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bertd.errors import VocabularyError

BERT_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
"""By their roles, in the order in which a new vocabulary numbers them from 0."""
ROBERTA_TOKENS = {"pad": "<pad>", "unk": "<unk>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
"""By their roles."""


def entry_ids(tree: Mapping[str, Any]) -> dict[str, int]:
    """Ids of all entries: the model's vocabulary, and the tokens added to it.

    Args:
        tree: the file's content.
    """
    vocabulary = tree["model"]["vocab"]
    if isinstance(vocabulary, Mapping):
        ids = {str(entry): int(number) for entry, number in vocabulary.items()}
    else:
        # Unigram has pairs of an entry and its score, in the order of their ids.
        ids = {str(entry): number for number, (entry, _) in enumerate(vocabulary)}
    return ids | {str(token["content"]): int(token["id"]) for token in tree["added_tokens"]}


def special_ids(tree: Mapping[str, Any], *, place: str) -> dict[str, int]:
    """Ids of the special tokens by their roles: pad, unk, cls, sep, mask.

    A BPE model without an unknown token uses pad as unk, since no text has pad; other models must have one.

    Args:
        tree: the file's content.
        place: the vocabulary's name in messages.

    Raises:
        VocabularyError: a role has no token; the message has the names it may have.
    """
    ids, tokens_by_role = entry_ids(tree), dict[str, str | None](dict.fromkeys(BERT_TOKENS))
    before, after = _tokens_around_text(tree.get("post_processor") or {})
    if before and after:
        tokens_by_role |= {"cls": before[0], "sep": after[-1]}
    tokens_by_role["unk"] = _unknown_token(tree["model"])
    for role, token in tokens_by_role.items():
        if token not in ids:
            tokens_by_role[role] = _find_by_name(role, ids=ids, tree=tree)
    if tree["model"].get("type") == "BPE":
        tokens_by_role["unk"] = tokens_by_role["unk"] or tokens_by_role["pad"]
    if missing := [role for role, token in tokens_by_role.items() if token is None]:
        names = ", ".join(f"{BERT_TOKENS[role]} or {ROBERTA_TOKENS[role]}" for role in missing)
        raise VocabularyError(f"{place}: lacks {names}; use the vocabulary of a BERT-like model")
    return {role: ids[str(token)] for role, token in tokens_by_role.items()}


def _unknown_token(model: Mapping[str, Any]) -> str | None:
    """The model's token for text that it cannot spell."""
    if model.get("unk_id") is not None:
        return str(model["vocab"][model["unk_id"]][0])
    return model.get("unk_token")


def _find_by_name(role: str, *, ids: Iterable[str], tree: Mapping[str, Any]) -> str | None:
    for names_by_role in (BERT_TOKENS, ROBERTA_TOKENS):
        if names_by_role[role] in ids:
            return names_by_role[role]
    candidates = [str(token["content"]) for token in tree["added_tokens"] if token["special"]]
    candidates = [content for content in candidates if role in content.lower()]
    return candidates[0] if len(candidates) == 1 else None


def _tokens_around_text(post_processor: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The special tokens that are put before a single text, and those after it."""
    before, after = list[str](), list[str]()
    for nested in post_processor.get("processors", ()):
        inner_before, inner_after = _tokens_around_text(nested)
        before, after = inner_before + before, after + inner_after
    side = before
    for part in post_processor.get("single", ()):
        if "SpecialToken" in part:
            side += post_processor["special_tokens"][part["SpecialToken"]["id"]]["tokens"]
        else:
            side = after
    # RobertaProcessing and BertProcessing.
    before += [str(post_processor["cls"][0])] if "cls" in post_processor else []
    after += [str(post_processor["sep"][0])] if "sep" in post_processor else []
    return before, after
