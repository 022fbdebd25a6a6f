"""Prose is extracted from docstrings; code, tables and markup are not."""

from __future__ import annotations

from bertd.demo.prose import paragraphs, sentences


def test_lines_of_a_paragraph_become_one() -> None:
    docstring = """Return the mean of the values.

        The values are summed first and
        divided by their number.
        """
    assert paragraphs(docstring) == [
        "Return the mean of the values.",
        "The values are summed first and divided by their number.",
    ]


def test_doctests_tables_headings_and_type_lines_are_left_out() -> None:
    docstring = """Return the larger one of two given numbers.

    Parameters
    ----------
    first, second : int, optional
        Both of the numbers must be finite.

    ========  ========
    First of  The other
    ========  ========

    >>> larger(1, 2)
    2
    | This is a row of a table, not prose. |
    """
    assert paragraphs(docstring) == [
        "Return the larger one of two given numbers.",
        "Both of the numbers must be finite.",
    ]


def test_arguments_in_googles_and_sphinxs_style_keep_their_text() -> None:
    docstring = """Args:
        path (str, optional): The file that should be
            read from the disk.
        mode: How the file should be opened.

    :param encoding: The encoding of the given file.
    Returns: The whole text of the file.
    """
    assert paragraphs(docstring) == [
        "The file that should be read from the disk.",
        "How the file should be opened.",
        "The encoding of the given file.",
        "The whole text of the file.",
    ]


def test_markup_is_removed() -> None:
    docstring = "See :class:`~io.TextIOWrapper` and *the* ``open`` [function](https://a.org) or `PEP 8 <b>`_ for more."
    assert paragraphs(docstring) == ["See io.TextIOWrapper and the open function or PEP 8 for more."]


def test_code_and_formulas_are_not_prose() -> None:
    for text in (
        "x = f(a[0], b[1]) + c**2 == {1: 2}.",
        "No full stop at the end of this one",
        "lower case at the beginning of this one.",
        "Too short.",
        "Umlauts: größer als die anderen Wörter hier.",
    ):
        assert paragraphs(text) == [], text


def test_an_abbreviation_does_not_end_a_sentence() -> None:
    text = "Use a list, e.g. The one above. It is sorted (in place). Ask D. Knuth about it! Why?"
    assert sentences(text) == [
        "Use a list, e.g. The one above.",
        "It is sorted (in place).",
        "Ask D. Knuth about it!",
        "Why?",
    ]
