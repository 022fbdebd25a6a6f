"""What is prose, in the scripts of the world."""

from __future__ import annotations

import pytest

from bertd.data.sources.readers.prose import count_words, display_width, ends_sentence, is_prose, join_lines

_SENTENCES = {
    "Chinese": "东京是日本的首都，也是人口最多的城市。",
    "Japanese": "東京都は日本の首都であり、人口が最も多い都市である。",
    "Japanese, quoted": "彼は「東京は日本の首都で、とても大きい都市だ」と言った。」",
    "Korean": "서울특별시는 대한민국의 수도이자 가장 인구가 많은 도시이다.",
    "Hindi": "नई दिल्ली भारत की राजधानी और एक बड़ा शहर है।",
    "Hindi, typed": "नई दिल्ली भारत की राजधानी और एक बड़ा शहर है |",
    "Bengali": "ঢাকা বাংলাদেশের রাজধানী এবং দেশের বৃহত্তম শহর হয়।",
    "Urdu": "کراچی پاکستان کا سب سے بڑا شہر ہے۔",
    "Arabic": "هل القاهرة هي عاصمة جمهورية مصر العربية؟",
    "Hebrew": "ירושלים היא עיר הבירה של מדינת ישראל.",
    "Greek, a question": "Ποια είναι η πρωτεύουσα της σημερινής Ελλάδας;",
    "Greek, quoted": "Ρώτησε: «Ποια είναι η πρωτεύουσα της Ελλάδας;»",
    "Armenian": "Երևանը Հայաստանի մայրաքաղաքն ու ամենամեծ քաղաքն է։",
    "Armenian, typed": "Երևանը Հայաստանի մայրաքաղաքն ու ամենամեծ քաղաքն է:",
    "Georgian": "თბილისი არის საქართველოს დედაქალაქი და უდიდესი ქალაქი.",
    "Burmese": "ရန်ကုန်မြို့သည် မြန်မာနိုင်ငံ၏ အကြီးဆုံးမြို့ ဖြစ်သည်။",
    "Khmer": "ភ្នំពេញជារាជធានីនៃព្រះរាជាណាចក្រកម្ពុជា។",
    "Tibetan": "བོད་ཀྱི་རྒྱལ་ས་ལྷ་ས་ནི་གྲོང་ཁྱེར་ཆེན་པོ་ཞིག་ཡིན།",
    "Amharic": "አዲስ አበባ የኢትዮጵያ ዋና ከተማ ናት።",
    "Amharic, word marks": "አዲስ፡አበባ፡የኢትዮጵያ፡ዋና፡ከተማ፡ናት።",
    "Russian": "Он сказал: «Москва — столица России».",
    "German": "Er sagte: „Berlin ist die Hauptstadt von Deutschland.“",
    "Mongolian": "ᠤᠯᠠᠭᠠᠨᠪᠠᠭᠠᠲᠤᠷ ᠪᠣᠯ ᠮᠣᠩᠭᠣᠯ ᠤᠯᠤᠰ ᠤᠨ ᠨᠡᠶᠢᠰᠯᠡᠯ ᠶᠤᠮ᠃",
    "English, to be continued": "And so the story went on for a while …",
}
_UNMARKED = {
    "Thai": "กรุงเทพมหานครเป็นเมืองหลวงและนครที่มีประชากรมากที่สุดของประเทศไทย",
    "Lao": "ວຽງຈັນເປັນນະຄອນຫຼວງແລະເປັນເມືອງທີ່ໃຫຍ່ທີ່ສຸດຂອງປະເທດລາວ",
}
_CAPTIONS = (
    "地图",
    "東京都",
    "Bibliography",
    "الخريطة",
    "ประเทศ",
    "मानचित्र",
    "Χάρτης;!:",
    "1999 2000 2001 2002 2003",
    "一二",
)


@pytest.mark.parametrize("sentence", _SENTENCES.values(), ids=_SENTENCES.keys())
def test_a_sentence_ends_by_the_marks_of_its_script_and_is_prose(sentence: str) -> None:
    assert ends_sentence(sentence) and is_prose(sentence)
    assert is_prose(sentence, is_item=True)
    # Without its mark it is the beginning of a sentence.
    assert is_prose(sentence.rstrip(".。។။།።։:;»“”」|।۔؟᠃… "))


@pytest.mark.parametrize("sentence", _UNMARKED.values(), ids=_UNMARKED.keys())
def test_where_a_script_marks_no_end_the_length_decides(sentence: str) -> None:
    assert not ends_sentence(sentence)
    assert is_prose(sentence) and is_prose(sentence, is_item=True)
    assert not is_prose(sentence[:6])


@pytest.mark.parametrize("line", _CAPTIONS)
def test_a_caption_or_a_number_is_no_prose(line: str) -> None:
    assert not is_prose(line)


@pytest.mark.parametrize(
    "line", ["東京都、大阪府、京都府、北海道", "[[Link]] and three more words here", "Short item."]
)
def test_a_list_item_is_prose_only_as_a_sentence(line: str) -> None:
    assert not is_prose(line, is_item=True)


def test_a_semicolon_or_a_colon_ends_a_sentence_only_where_the_script_uses_it_so() -> None:
    assert not ends_sentence("a list of three things:") and not ends_sentence("one; two;")
    assert not ends_sentence("東京：") and not ends_sentence("مثال،")


def test_words_are_counted_where_nothing_is_between_them() -> None:
    assert count_words("five words and no more") == 5
    assert count_words("Größe und Länge über alles") == 5
    assert 5 <= count_words(_SENTENCES["Chinese"]) <= 15
    assert 8 <= count_words(_UNMARKED["Thai"]) <= 25
    assert count_words(_SENTENCES["Amharic, word marks"]) == 6


def test_lines_are_joined_without_a_space_where_the_script_has_none() -> None:
    assert join_lines(["東京は", "首都。", "Tokyo", "is"]) == "東京は首都。 Tokyo is"
    assert join_lines(["서울", "city"]) == "서울 city"
    assert display_width("東京ab") == 6
