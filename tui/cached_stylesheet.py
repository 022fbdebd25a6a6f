"""Style sheets that are parsed once: Textual parses all again for the theme and for each view's first opening."""

from __future__ import annotations

from textual.css.stylesheet import Stylesheet


class CachedStylesheet(Stylesheet):
    """Parses a sheet again only if the variables have changed, as they do with the theme."""

    def set_variables(self, variables: dict[str, str]) -> None:
        """Set the variables; the parsed sheets stay if they are the same."""
        if variables != self._variables:
            super().set_variables(variables)
            self._require_parse = True

    def reparse(self) -> None:
        """Parse what is not parsed yet."""
        self.parse()
