"""docs/gallery has a picture of every view; `make gallery` draws them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from tests.tui.gallery import FOLDER, PICTURES, Picture, contents, draw
from tui.screens.registry import SCREEN_NAMES

_REMEDY = "`make gallery` draws them; look at them before you commit them"


def test_the_gallery_has_every_view_and_its_page_lists_all() -> None:
    assert set(SCREEN_NAMES) <= {one.name for one in PICTURES}
    assert {path.stem for path in FOLDER.glob("*.svg")} == {one.name for one in PICTURES}, _REMEDY
    assert (FOLDER / "README.md").read_text() == contents(), _REMEDY


@pytest.mark.parametrize(
    "picture", [one for one in PICTURES if one.name in ("run", "fleet", "pause")], ids=lambda one: one.name
)
async def test_the_same_view_gives_the_same_picture(picture: Picture) -> None:
    first, second = await draw(picture), await draw(picture)
    assert first == second
    text = "".join(ElementTree.fromstring(first).itertext()).replace("\xa0", " ")
    assert re.search("12-academic-large", text)
