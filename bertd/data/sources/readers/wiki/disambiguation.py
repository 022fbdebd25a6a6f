"""Which pages of a wiki are disambiguation pages: those that hold a template made for them, by its exact name.

A name that only begins like one, such as `Disambiguation needed`, stands in articles. The names are those that the
wikis list in `MediaWiki:Disambiguationspage` and their redirects, or mark by the magic word `__DISAMBIG__`.
"""

from __future__ import annotations

import re
from functools import cache

_MAGIC_WORD = "__DISAMBIG__"
_TEMPLATE = re.compile(r"\{\{\s*(?:[Tt]emplate:)?\s*([^{}|<>\[\]\n]{2,80}?)\s*(?:\||\}\}|\n)")

_ANY_LANGUAGE = frozenset({"disambig", "disambiguation", "disamb", "dab"})
# fmt: off
_ENGLISH = frozenset(
    {
        "airport disambig", "airport disambiguation", "biology disambiguation", "call sign disambiguation",
        "callsigndis", "caselaw disambiguation", "chinese title disambiguation", "church disambiguation", "dab cleanup",
        "disambig cleanup", "disambiguation cleanup", "genus disambiguation", "geo-dis", "geodab", "geodis",
        "given name disambiguation", "hndab", "hndis", "hospital disambiguation", "hospitaldis",
        "human name disambig", "human name disambiguation", "latin name disambiguation", "letter disambiguation",
        "letter-number combination disambiguation", "letter-numbercombdisambig",
        "letter–number combination disambiguation", "mathdab", "mathematical disambiguation",
        "military unit disambiguation", "music disambiguation", "numberdis", "opus disambiguation",
        "phonetics disambiguation", "place name disambiguation", "road disambiguation", "roaddis",
        "school disambig", "school disambiguation", "schooldis", "species latin name abbreviation disambiguation",
        "species latin name disambiguation", "station disambiguation", "surname disambiguation",
        "synagogue disambiguation", "taxonomic authority disambiguation", "taxonomy disambiguation",
    }
)
_BY_LANGUAGE = {
    "ar": ("توضيح", "صفحة توضيح"), "az": ("dəqiqləşdirmə",), "be": ("неадназначнасць",), "bg": ("пояснение",),
    "bn": ("দ্ব্যর্থতা নিরসন",), "bs": ("čvor",), "ca": ("desambiguació",), "cs": ("rozcestník",),
    "da": ("flertydig",), "de": ("begriffsklärung",), "el": ("αποσαφήνιση",), "eo": ("apartigilo",),
    "es": ("desambiguación", "desambiguacion", "desambig", "des"), "et": ("täpsustuslehekülg", "täpsustus"),
    "eu": ("argipen",), "fa": ("ابهام‌زدایی", "ابهام زدایی"), "fi": ("täsmennyssivu", "täsmennys"),
    "fr": (
        "homonymie", "homonymes", "bandeau homonymie", "homonymie de personnes", "homonymie de clubs sportifs",
        "homonymie de bateau", "patronymie", "toponymie", "paronymie",
    ),
    "gl": ("homónimos",), "he": ("פירושונים",), "hi": ("बहुविकल्पी", "बहुविकल्पी शब्द"),
    "hr": ("razdvojba",), "hu": ("egyért", "egyért-redir", "egyértelműsítő lap"),
    "hy": ("բազմիմաստություն", "երկիմաստ"), "id": ("disambiguasi",), "is": ("aðgreining",), "it": ("disambigua",),
    "ja": ("aimai", "曖昧さ回避", "人名の曖昧さ回避", "地名の曖昧さ回避", "同名の地名"),
    "ka": ("მრავალმნიშვნელოვანი",), "kk": ("айрық",),
    "ko": ("동음이의", "동명이인", "동음이의어", "동명이지"), "la": ("discretiva",),
    "lt": ("nuorodinis", "disambig"), "lv": ("nozīmju atdalīšana",), "ms": ("nyahkekaburan",),
    "nl": ("dp", "doorverwijspagina"), "nn": ("fleirtyding",), "no": ("peker", "pekerside", "etternavn-peker"),
    "pl": ("ujednoznacznienie",), "pt": ("desambiguação", "desambiguaçao", "desambig"),
    "ro": ("dezambiguizare", "dez"), "ru": ("неоднозначность", "многозначность", "список однофамильцев"),
    "sk": ("rozlišovacia stránka",), "sl": ("razločitev",), "sq": ("kthjellim",),
    "sr": ("вишезначна одредница", "višeznačna odrednica"),
    "sv": ("förgrening", "gren", "namnförgrening", "ortnamn förgrening", "robotskapad förgrening"),
    "ta": ("பக்கவழி நெறிப்படுத்தல்",), "te": ("అయోమయ నివృత్తి",), "th": ("แก้ความกำกวม",),
    "tr": ("anlam ayrımı", "anlamayrımı"), "uk": ("неоднозначність", "багатозначність", "багатозначні терміни"),
    "vi": ("định hướng", "trang định hướng"),
    "zh": (
        "消歧义", "消歧義", "消歧义页", "消歧義頁", "消歧", "地名消歧义", "地名消歧義", "人名消歧义", "人名消歧義",
    ),
}
# fmt: on
_MIN_LENGTH_OF_OTHER_LANGUAGE = 5
"""In a dump that does not name its language, a shorter Latin name may be another template's."""


def is_disambiguation(wikitext: str, *, language: str | None) -> bool:
    """Whether a page only lists what its title may mean.

    Args:
        wikitext: without comments and the content of nowiki.
        language: code of the dump's language; None if the dump does not name it.
    """
    if _MAGIC_WORD in wikitext:
        return True
    names = {" ".join(name.replace("_", " ").lower().split()) for name in _TEMPLATE.findall(wikitext)}
    return not names.isdisjoint(_template_names(language))


@cache
def _template_names(language: str | None) -> frozenset[str]:
    if language is not None:
        return _ANY_LANGUAGE | _ENGLISH | frozenset(_BY_LANGUAGE.get(language, ()))
    others = {
        name
        for names in _BY_LANGUAGE.values()
        for name in names
        if len(name) >= _MIN_LENGTH_OF_OTHER_LANGUAGE or not name.isascii()
    }
    return _ANY_LANGUAGE | _ENGLISH | others
