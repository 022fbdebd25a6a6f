"""`python -m bertd.data.commands.vocab SOURCE... --size 8192 --out DIR`: train a WordPiece vocabulary.

Writes what `AutoTokenizer.from_pretrained` loads. The same text and options give the same files. One document in 200
is held out, to measure the tokens per word and the share of unknown tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer

from bertd.data.commands.arguments import parse_encoding
from bertd.data.commands.vocab_folder import check_vocabulary_folder, write_vocabulary_folder
from bertd.data.commands.vocab_report import VocabularyReport
from bertd.data.dataset.left_out_report import SourceLeftOut
from bertd.data.inspect.left_out_lines import shares_line
from bertd.data.prepare.parts.task_planner import BLOCK_BYTES
from bertd.data.prepare.parts.tokenize_part import text_hash
from bertd.data.prepare.progress import ReadingProgress, reading_progress
from bertd.data.prepare.skip_reasons import format_encoding_remedy, format_field_remedy, format_skip_reasons
from bertd.data.sources.archives import SourceStream
from bertd.data.sources.readers.document import Reader, ReadResult, Skipped, SkipReason
from bertd.data.sources.readers.left_out import LeftOut
from bertd.data.sources.readers.prose import count_words
from bertd.data.sources.spec import ReadingOptions, Source, find_sources, make_reader, mixed_kinds_lines
from bertd.errors import CorpusError
from bertd.program import print_note, run_main
from bertd.run.amounts.quantities import format_count
from bertd.terminal_text import terminal_json, terminal_text
from bertd.tokenizer.alphabet import Characters, continuation_pieces, count_characters, fill_with_characters
from bertd.tokenizer.save import tokenizer_files
from bertd.tokenizer.tokenizer import vocabulary_from_tokenizer
from bertd.tokenizer.tokenizer_json import BERT_TOKENS
from bertd.tokenizer.wordpiece import Casing, bert_normalizer, build_wordpiece_tokenizer

_HELD_OUT_EVERY = 200
"""One document in this many is not trained on."""
_MAX_HELD_OUT_CHARACTERS = 1 << 22
_ALPHABET_SIZE = 1000
"""Single characters, unless the script needs more. Source: the default of tokenizers' BertWordPieceTokenizer."""
_MIN_PAIR_COUNT = 2
"""Pairs that occur less often are not merged. Source: the same."""
_MAX_WORDS_A_SPACE = 2
"""Where so many words are between two spaces, spaces do not part words; Latin texts have 1, Chinese 10 and more."""


class _TrainingTexts:
    """Iterates over the texts of the sources, and holds some of them out."""

    def __init__(self, sources: list[Source], *, options: ReadingOptions, progress: ReadingProgress) -> None:
        # The same in each pass, since they tell the user something only once.
        self._sources = [(source, make_reader(source, options)) for source in sources]
        self._progress = progress
        self._bytes_before = 0
        self._text_bytes = 0
        self.documents = 0
        self.skipped: Counter[str] = Counter()
        """Documents that have no text to train on, by reason."""
        self.read_characters = 0
        self.left_out = LeftOut()
        self.held_out: list[str] = []
        self._held_out_characters = 0

    def __iter__(self) -> Iterator[str]:
        """One pass over the sources."""
        self.documents = 0
        self.skipped = Counter()
        self.read_characters = 0
        self.left_out = LeftOut()
        self.held_out = []
        self._held_out_characters = 0
        for source, reader in self._sources:
            for unit in source.units:
                with source.open(unit) as streams:
                    for stream in streams:
                        yield from self._read_stream(reader, stream)
                self._bytes_before += unit.stat().st_size if unit is not None else 0
        if len(self.held_out) == self.documents:
            # All documents of a tiny corpus, such as one book in one file, can have a hash that holds them out.
            yield from self.held_out
            self.held_out = []

    def _read_stream(self, reader: Reader, stream: SourceStream) -> Iterator[str]:
        for block in reader.blocks(stream.content, block_bytes=BLOCK_BYTES):
            texts = [text for one in reader.documents(block.content) if (text := self._count(one))]
            self.skipped[SkipReason.TOO_LONG.value] += block.too_long
            self.read_characters += block.too_long_characters
            self.left_out.add_count(SkipReason.TOO_LONG, block.too_long_characters, sample=block.too_long_sample)
            self._text_bytes += len(block.content)
            self._progress.update(
                documents=len(texts), bytes_read=self._bytes_before + stream.raw.tell(), text_bytes=self._text_bytes
            )
            yield from self._hold_out(texts)

    def _count(self, result: ReadResult) -> str:
        """Count what was read; returns the text, empty if there is none."""
        self.read_characters += result.read
        if isinstance(result, Skipped):
            self.skipped[result.reason.value] += 1
            self.left_out.add_count(result.reason, result.read, sample=result.sample)
            return ""
        self.left_out.update(result.left_out)
        # A lone surrogate, which a JSON escape can spell, cannot be encoded.
        text = result.text.encode("utf-8", "ignore").decode()
        self.left_out.add_count(SkipReason.INVALID_UTF8, len(result.text) - len(text), sample=result.text)
        if not text:
            self.skipped[SkipReason.EMPTY.value] += 1
        return text

    def count_characters(self) -> SourceLeftOut:
        """The characters of the last pass."""
        record = self.left_out.to_record()
        return SourceLeftOut(
            read=self.read_characters,
            kept=self.read_characters - self.left_out.total,
            left_out=record.characters,
            samples={reason: [text for _, text in ranked] for reason, ranked in record.samples.items()},
        )

    def _hold_out(self, texts: list[str]) -> Iterator[str]:
        for text in texts:
            self.documents += 1
            if text_hash(text) % _HELD_OUT_EVERY == 0 and self._held_out_characters < _MAX_HELD_OUT_CHARACTERS:
                self.held_out.append(text)
                self._held_out_characters += len(text)
            else:
                yield text


def train_vocabulary(
    names: list[str],
    *,
    out: Path,
    size: int,
    casing: Casing,
    reading: ReadingOptions | None = None,
    replace: bool = False,
) -> VocabularyReport:
    """Train a vocabulary and write its files.

    Args:
        names: sources, `kind:path`.
        size: entries wanted, special tokens counted; a small corpus gives fewer.
        replace: replace a vocabulary that already exists.

    Raises:
        CorpusError: a source cannot be read, or holds no text.
        VocabularyError: `out` exists.
        StorageError: the folder cannot be written.
    """
    check_vocabulary_folder(out, replace=replace)
    reading = reading or ReadingOptions()
    sources = find_sources(names, encoding=reading.encoding, note=print_note)
    for line in mixed_kinds_lines(sources):
        print_note(line)
    trained = Tokenizer(WordPiece(unk_token=BERT_TOKENS["unk"]))
    trained.normalizer = bert_normalizer(casing)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bytes_total = sum(source.num_bytes for source in sources)
    with reading_progress(bytes_total=2 * bytes_total) as progress:
        texts = _TrainingTexts(sources, options=reading, progress=progress)
        characters = count_characters(texts, tokenizer=trained)
        alphabet = characters.alphabet(target_size=_ALPHABET_SIZE, max_size=size // 2)
        trainer = WordPieceTrainer(
            vocab_size=size,
            min_frequency=_MIN_PAIR_COUNT,
            initial_alphabet=alphabet,
            limit_alphabet=len(alphabet),
            # Special tokens are numbered first, in this order; the final tokenizer is built from the entries below.
            special_tokens=[*BERT_TOKENS.values(), *continuation_pieces(alphabet, tokenizer=trained)],
            show_progress=False,
        )
        trained.train_from_iterator(texts, trainer=trainer)
    ids: dict[str, int] = trained.get_vocab()
    if not texts.documents or len(ids) <= len(BERT_TOKENS):
        skip_text = format_skip_reasons(+texts.skipped) + format_encoding_remedy(texts.skipped)
        skip_text += format_field_remedy([texts.left_out], text_field=reading.text_field)
        raise CorpusError(f"{', '.join(names)}: no text to train a vocabulary on{skip_text}; name other sources")
    learnt = tuple(sorted(ids, key=ids.__getitem__))
    entries = fill_with_characters(learnt, characters, size=size, tokenizer=trained)
    tokenizer = build_wordpiece_tokenizer(entries, casing=casing, place=str(out))
    write_vocabulary_folder(out, tokenizer_files(tokenizer, place=str(out)), replace=replace)
    return _report(tokenizer, out=out, texts=texts, characters=characters, asked=size)


def _report(
    tokenizer: Tokenizer, *, out: Path, texts: _TrainingTexts, characters: Characters, asked: int
) -> VocabularyReport:
    num_words = sum(len(text.split()) for text in texts.held_out)
    num_characters = sum(len("".join(text.split())) for text in texts.held_out)
    num_estimated = sum(count_words(line) for text in texts.held_out for line in text.split("\n"))
    has_spaces = num_estimated < _MAX_WORDS_A_SPACE * num_words
    unknown = vocabulary_from_tokenizer(tokenizer, place=str(out)).unk
    encodings = tokenizer.encode_batch_fast(texts.held_out, add_special_tokens=False)
    num_tokens = sum(len(encoding) for encoding in encodings)
    num_unknown = sum(list(encoding.ids).count(unknown) for encoding in encodings)
    return VocabularyReport(
        path=str(out),
        entries=tokenizer.get_vocab_size(),
        documents=texts.documents,
        skipped=dict(sorted((+texts.skipped).items())),
        characters=texts.count_characters(),
        held_out_words=num_words,
        held_out_characters=num_characters,
        tokens_per_word=num_tokens / num_words if num_words and has_spaces else None,
        tokens_per_character=num_tokens / num_characters if num_characters else None,
        unknown_share=num_unknown / num_tokens if num_tokens else None,
        asked=asked,
        deleted_marks_share=characters.deleted_marks / characters.letters if characters.letters else 0.0,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bertd data vocab", description="Train a WordPiece vocabulary.")
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="KIND:PATH, or PATH, as for bertd data prepare")
    parser.add_argument("--out", required=True, type=Path, help="folder for its files")
    parser.add_argument("--size", type=int, default=30522, help="entries, special tokens counted (30522)")
    parser.add_argument("--cased", action="store_true", help="distinguish capital from small letters")
    parser.add_argument(
        "--keep-accents",
        action=argparse.BooleanOptionalAction,
        help="distinguish accented letters from plain ones (only if --cased)",
    )
    parser.add_argument("--text-field", default="text", metavar="NAME", help="of JSON lines and tables (text)")
    parser.add_argument(
        "--encoding", type=parse_encoding, metavar="NAME", help="of files that are not UTF-8, such as windows-1252"
    )
    parser.add_argument("--replace", action="store_true", help="replace it if it exists")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is the error's."""
    return run_main(lambda: _train(argv), interrupted="interrupted; nothing was written")


def _train(argv: list[str] | None) -> None:
    parser = _parser()
    args = parser.parse_args(argv)
    if args.size <= len(BERT_TOKENS):
        parser.error(f"--size {args.size}: the special tokens alone take {len(BERT_TOKENS)}")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # Accents are removed together with case, as in BERT, unless requested otherwise.
    keeps_accents = args.cased if args.keep_accents is None else args.keep_accents
    casing = Casing(lowercase=not args.cased, strip_accents=not keeps_accents)
    report = train_vocabulary(
        args.sources,
        out=args.out.absolute(),
        size=args.size,
        casing=casing,
        reading=ReadingOptions(text_field=args.text_field, encoding=args.encoding),
        replace=args.replace,
    )
    if args.json:
        tree = asdict(report) | {"characters": report.characters.model_dump(mode="json")}
        print(terminal_json(json.dumps(tree)))
        return
    skip_text = format_skip_reasons(Counter(report.skipped))
    entries = format_count(report.entries, "entry", "entries")
    print(terminal_text(f"{report.path}: {entries} from {format_count(report.documents, 'document')}{skip_text}"))
    print(terminal_text(f"  {shares_line(report.characters)}"))
    for remark in report.remarks():
        print(f"  {remark}")
    print(f"  {report.held_out_line()}")


if __name__ == "__main__":
    sys.exit(main())
