"""Which language a text is in, by py3langid: a small model over the bytes, for tables that have no column of it.

Source: Lui & Baldwin 2012, "langid.py: An Off-the-shelf Language Identification Tool"; its maintained successor.
"""

from __future__ import annotations

from typing import Any

from bertd.errors import CorpusError

_LOOKED_AT_CHARACTERS = 2000
"""Of the beginning of a text: enough to be sure, and as fast as tokenizing it (1 ms)."""


class LanguageIdentifier:
    """Tells whether texts are in one language."""

    def __init__(self, language: str) -> None:
        """Load the model.

        Args:
            language: ISO 639-1.

        Raises:
            CorpusError: py3langid is not installed, or does not know the language.
        """
        try:
            from py3langid.langid import MODEL_FILE
            from py3langid.langid import LanguageIdentifier as Identifier
        except ImportError as error:
            raise CorpusError("--only-language needs the package py3langid; pip install 'bertd[language]'") from error
        self._identifier: Any = Identifier.from_model_file(MODEL_FILE)
        self._language = language
        if language not in self._identifier.labels:
            raise CorpusError(
                f"--only-language: py3langid does not know the language {language!r}; it knows "
                f"{', '.join(sorted(self._identifier.labels))}"
            )

    def is_in_language(self, text: str) -> bool:
        """Whether the beginning of a text is in the language."""
        found, _ = self._identifier.classify(text[:_LOOKED_AT_CHARACTERS])
        return bool(found == self._language)
