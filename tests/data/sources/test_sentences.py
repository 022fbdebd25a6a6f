"""Sentences of documents, in the scripts of the world."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertd.data.sources.sentences import split_sentences, split_spaced_sentences

_TWO_SENTENCES = [
    "The river is long. It is green.",
    "東京は首都である。人口が多い。",
    "राम घर गया। वह आया।",
    "هل انت هنا؟ نعم.",
    "یہ گھر ہے۔ وہ باغ ہے۔",
    "Բարեւ ձեզ։ Ինչպես եք։",
    "မြန်မာနိုင်ငံ။ ရန်ကုန်မြို့။",
    "ሰላም ነው። ደህና ነኝ።",
    "ភ្នំពេញជារាជធានី។ វាធំ។",
    "བོད་ཡིག་ཡིན། ལྷ་ས་ཡིན།",
]


@pytest.mark.parametrize("text", _TWO_SENTENCES)
def test_a_sentence_ends_by_the_marks_of_its_script(text: str) -> None:
    sentences = split_sentences(text, language="en")
    assert len(sentences) == 2 and "".join(sentences) == text


@pytest.mark.parametrize("space", ["\u3000", "\xa0", "\u2003", "\u202f", "\x85"])
@pytest.mark.parametrize("language", ["en", "ja", "de", "hi"])
def test_an_initial_before_a_wide_space_is_no_fault(space: str, language: str) -> None:
    text = f"a A.{space}B said.{space}漢字 A.{space}"
    assert "".join(split_sentences(text, language=language)) == text


@given(
    text=st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("A. \u3000\xa0!?。。།។।")), max_size=60),
    language=st.sampled_from(["en", "ja", "hi", "el", "hy", "xx"]),
)
def test_no_character_of_a_line_is_lost(text: str, language: str) -> None:
    assert "".join(split_sentences(text, language=language)) == text.replace("\n", "")
    words = " ".join(split_spaced_sentences(text, language=language)).split()
    assert "".join(words) == "".join(text.split())
