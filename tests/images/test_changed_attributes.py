"""An image keeps the attributes that it came in with; that the sources say others now is said."""

from __future__ import annotations

from dataclasses import replace

from photo_files import class_folders


def test_attributes_that_the_sources_changed_are_counted_and_not_applied(tmp_path, listed, warehouse, caplog):
    photos = [
        replace(photo, attributes={"site": "A"}) for photo in listed(class_folders(tmp_path / "p", cat=4))
    ]
    warehouse.take_in(photos)
    warehouse.take_in(photos)
    assert "other attributes" not in caplog.text
    warehouse.take_in([replace(photo, attributes={"site": "B"}) for photo in photos[:3]] + photos[3:])
    assert "other attributes of 3 stored photos" in caplog.text
    assert set(warehouse.manifest()["site"]) == {"A"}


def test_a_photo_that_is_replaced_brings_its_own_attributes(tmp_path, listed, warehouse, caplog):
    folder = class_folders(tmp_path / "p", cat=2, dog=1)
    photos = [replace(photo, attributes={"site": "A"}) for photo in listed(folder)]
    warehouse.take_in(photos)
    (folder / "cat/00.png").write_bytes((folder / "dog/00.png").read_bytes() + b"\0")
    warehouse.take_in([replace(photo, attributes={"site": "B"}) for photo in listed(folder)][:1] + photos[1:])
    assert "other attributes" not in caplog.text
