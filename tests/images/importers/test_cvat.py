"""CVAT for images 1.1: tags label images, or else what is drawn on them does."""

from __future__ import annotations

import pytest

from visionpipe.errors import VisionpipeError

HEAD = '<?xml version="1.0" encoding="utf-8"?><annotations><meta><task><name>t</name></task></meta>'


@pytest.fixture
def cvat(imported, put, tmp_path):
    put(tmp_path, "a/1.png", "2.png", "3.png")

    def read(text, **options):
        (tmp_path / "annotations.xml").write_text(text, encoding="utf-8")
        return imported("cvat", tmp_path, annotations="annotations.xml", **options)

    return read


TAGS = (
    HEAD
    + """
<image id="0" name="a/1.png" subset="Train" width="40" height="40">
  <tag label="cat" source="manual"><attribute name="age">3 &amp; a half</attribute></tag>
  <box label="whisker" xtl="1" ytl="1" xbr="2" ybr="2"><attribute name="long">yes</attribute></box>
</image>
<image id="1" name="2.png"><tag label="cat"/><tag label="dog"></tag></image>
<image id="2" name="gone.png"><tag label="dog"/></image>
<image id="3" name=""><tag label="dog"/></image>
<image id="4" name="3.png"><box label="whisker"/></image>
</annotations>"""
)


def test_tags_are_labels_and_boxes_beside_them_are_not(cvat, said):
    assert said(cvat(TAGS)) == {
        "a/1.png": ["cvat: cat"],
        "2.png": ["cvat: cat", "cvat: dog"],
        "3.png": [],
        "gone.png": ["! no_image"],
        "annotations.xml#image 4": ["! no_image"],
    }


def test_attributes_of_tags_are_attributes(cvat):
    attributes = {photo.path: photo.attributes for photo in cvat(TAGS)}
    assert attributes["a/1.png"] == {"subset": "Train", "age": "3 & a half"}
    chosen = {photo.path: photo.attributes for photo in cvat(TAGS, attributes=["age"])}
    assert chosen["a/1.png"] == {"age": "3 & a half"}
    with pytest.raises(VisionpipeError, match=r"no column 'long'.*there are: subset, age"):
        cvat(TAGS, attributes=["long"])


def test_without_tags_the_labels_of_shapes_count(cvat):
    text = f'{HEAD}<image name="2.png"><box label="cat"/><polygon label="dog"/><box label="cat"/></image></annotations>'
    photos = {photo.path: photo for photo in cvat(text)}
    assert [(claim.label, claim.confidence) for claim in photos["2.png"].claims] == [
        ("cat", pytest.approx(2 / 3)),
        ("dog", pytest.approx(1 / 3)),
    ]


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + ']><annotations><image name="&j;"/></annotations>'
)
OUTSIDE = (
    '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotations><image name="&e;"/></annotations>'
)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (BOMB, "has a document type declaration"),
        (OUTSIDE, "has a document type declaration"),
        (TAGS[:300], "is no complete XML document"),
        ("", "is no complete XML document"),
        ("image,label", "is no complete XML document"),
        (HEAD + '<image name="2.png"></annotations>', "is no complete XML document: mismatched tag"),
        ("<html/>", "is no CVAT document: it begins with <html>"),
        (HEAD + '<track id="0" label="cat"></track></annotations>', "CVAT for video"),
        (HEAD + "&undefined;</annotations>", "is no complete XML document: undefined entity"),
    ],
    ids=["bomb", "outside", "truncated", "empty", "csv", "mismatched", "html", "video", "entity"],
)
def test_what_is_no_cvat_document_is_said_in_one_line(text, wrong, cvat):
    with pytest.raises(VisionpipeError, match=rf"^source mine: annotations\.xml: .*{wrong}") as raised:
        cvat(text)
    assert "\n" not in str(raised.value)


def test_an_encoding_of_many_bytes_is_refused_with_the_files_name(cvat):
    with pytest.raises(VisionpipeError, match=r"annotations\.xml: is no complete XML document: multi-byte"):
        cvat('<?xml version="1.0" encoding="shift_jis"?><annotations/>')
