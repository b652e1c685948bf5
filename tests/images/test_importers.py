"""Sources list their photos without reading them, and say clearly what is wrong with them."""

from __future__ import annotations

import importlib.util
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from photo_files import class_folders, encode, picture
from visionpipe.errors import VisionpipeError
from visionpipe.images import store
from visionpipe.images.importers import Source, iterate_photos

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_a_class_folder_is_a_label_and_the_listing_is_sorted(tmp_path, listed):
    photos = listed(class_folders(tmp_path, cat=2, ant=1))
    assert [(photo.path, photo.label) for photo in photos] == [
        ("ant/00.png", "ant"),
        ("cat/00.png", "cat"),
        ("cat/01.png", "cat"),
    ]
    assert {photo.arrived_at for photo in photos} == {NOW}


def test_a_deeper_folder_keeps_the_label_of_the_class_folder(tmp_path, listed):
    class_folders(tmp_path / "cat", night=1)
    assert [(photo.path, photo.label) for photo in listed(tmp_path)] == [("cat/night/00.png", "cat")]


def test_a_file_beside_the_class_folders_has_no_label(tmp_path, listed):
    (tmp_path / "stray.png").write_bytes(encode(picture(0), "PNG"))
    assert [photo.label for photo in listed(tmp_path)] == [None]


def test_production_photos_come_without_labels(tmp_path, listed):
    photos = listed(class_folders(tmp_path, cat=1), labelled=False)
    assert [photo.label for photo in photos] == [None]


def test_the_noise_of_desktops_is_no_input(tmp_path, listed):
    class_folders(tmp_path, cat=1)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "cat" / name).touch()
    assert [photo.path for photo in listed(tmp_path)] == ["cat/00.png"]


def test_a_linked_class_folder_is_followed_and_a_circle_of_links_ends(tmp_path, listed):
    elsewhere = class_folders(tmp_path / "elsewhere", cat=2)
    photos = class_folders(tmp_path / "photos", dog=1)
    (photos / "cat").symlink_to(elsewhere / "cat")
    (photos / "dog/again").symlink_to(photos)
    assert [photo.path for photo in listed(photos)] == ["cat/00.png", "cat/01.png", "dog/00.png"]


def test_a_broken_link_is_an_input_that_cannot_be_read(tmp_path, listed):
    class_folders(tmp_path, cat=1)
    (tmp_path / "cat/gone.png").symlink_to(tmp_path / "nowhere.png")
    photo = listed(tmp_path)[-1]
    assert photo.path == "cat/gone.png"
    with pytest.raises(FileNotFoundError):
        photo.read()


def test_a_pipe_is_never_waited_on(tmp_path, listed):
    class_folders(tmp_path, cat=1)
    os.mkfifo(tmp_path / "cat/pipe.png")
    with pytest.raises(OSError, match="not a regular file"):
        listed(tmp_path)[-1].read()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_named(tmp_path, listed):
    class_folders(tmp_path, cat=1)
    (tmp_path / "cat").chmod(0)
    with pytest.raises(VisionpipeError, match="cat: this folder cannot be listed"):
        listed(tmp_path)
    (tmp_path / "cat").chmod(0o755)


def test_a_folder_that_cannot_be_listed_is_named_by_root_too(tmp_path, listed, monkeypatch):
    class_folders(tmp_path, cat=1)

    def scandir(folder):
        raise PermissionError(13, "Permission denied", os.fspath(folder))

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(VisionpipeError, match="this folder cannot be listed: Permission denied"):
        listed(tmp_path)


@pytest.mark.parametrize(
    "name", ["a b.png", "ünïcode 照片.png", "two\nlines.png", "quote'\".png", "\\xff.png"]
)
def test_a_strange_name_is_kept_as_it_is(name, tmp_path, listed):
    (tmp_path / "ça va").mkdir()
    (tmp_path / "ça va" / name).write_bytes(b"x")
    [photo] = listed(tmp_path)
    assert (photo.path, photo.label) == (f"ça va/{name}", "ça va")
    assert photo.read() == b"x"


def test_a_name_that_is_not_utf_8_is_written_with_its_bytes(tmp_path, listed):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    [photo] = listed(tmp_path)
    assert (photo.path, photo.label) == ("caf\\xe9/\\xff.png", "caf\\xe9")
    assert photo.read() == b"x"


@pytest.mark.parametrize("path", ["gone", "file"])
def test_a_source_that_is_no_folder_is_named(path, tmp_path, listed):
    (tmp_path / "file").touch()
    with pytest.raises(VisionpipeError, match=f"source mine: .*{path} is not a folder"):
        listed(tmp_path / path)


def test_a_source_without_a_path_says_so():
    with pytest.raises(VisionpipeError, match="source mine: importer folder needs a `path`"):
        list(iterate_photos(Source(name="mine", importer="folder"), NOW))


def test_where_names_an_attribute_that_class_folders_do_not_have(tmp_path, listed):
    folder = class_folders(tmp_path, cat=1)
    with pytest.raises(VisionpipeError, match="none of 1 photos has an attribute 'camera'; there are: none"):
        listed(folder, where={"camera": ["new"]})


def test_an_arrival_time_without_a_zone_is_utc(tmp_path, listed):
    [photo] = listed(class_folders(tmp_path, cat=1), arrived_at=datetime(2026, 4, 1))
    assert photo.arrived_at == datetime(2026, 4, 1, tzinfo=UTC)


def test_elpv_is_read_as_its_authors_publish_it(elpv):
    published = np.genfromtxt(elpv / "labels.csv", dtype=None, encoding="utf-8", names="path,p,cell")
    photos = list(iterate_photos(Source(name="cells", importer="elpv"), NOW))
    assert len(photos) == 2624
    assert [photo.path for photo in photos] == list(published["path"])
    assert [photo.label == "defective" for photo in photos] == list(published["p"] > 0.5)
    assert [photo.attributes["cell_type"] for photo in photos] == list(published["cell"])
    np.testing.assert_allclose(
        [photo.label_confidence for photo in photos], np.maximum(published["p"], 1 - published["p"])
    )
    assert photos[0].read() == (elpv / photos[0].path).read_bytes()


def test_where_keeps_only_the_wanted_cells(elpv):
    def cells(**where):
        return list(iterate_photos(Source(name="cells", importer="elpv", where=where), NOW))

    mono, poly = cells(cell_type=["mono"]), cells(cell_type=["poly"])
    assert (len(mono), len(poly)) == (1074, 1550)
    assert {photo.attributes["cell_type"] for photo in mono} == {"mono"}
    with pytest.raises(VisionpipeError, match=r"no.* attribute 'celltype'; there are: cell_type"):
        cells(celltype=["mono"])


def test_the_missing_demo_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VisionpipeError, match="pip install elpv-dataset"):
        list(iterate_photos(Source(name="cells", importer="elpv"), NOW))


class TestReviewed:
    """Production photos that reviewers labelled."""

    @pytest.fixture
    def root(self, tmp_path, listed, warehouse):
        warehouse.take_in(listed(class_folders(tmp_path / "photos", cat=1)))
        (warehouse.root / "images").rename(tmp_path / "arrivals")
        return tmp_path

    @staticmethod
    def review(root: Path, image_id: str, **row) -> None:
        rows = [
            {
                "image_id": image_id,
                "label": "dog",
                "label_confidence": 0.9,
                "annotator": "ada",
                "labelled_at": NOW,
                "origin": "review",
                "selection": "random_audit",
                **row,
            }
        ]
        store.append_shard(root / "reviews", rows, store.LABEL_SCHEMA, prefix="labels")

    @staticmethod
    def reviewed(root: Path):
        return list(iterate_photos(Source(name="production", importer="reviewed", path=root), NOW))

    def test_nothing_reviewed_is_no_error(self, root):
        assert self.reviewed(root) == []

    def test_a_review_brings_its_label_and_the_bytes_that_arrived(self, root):
        image_id = store.read_store_index(root / "arrivals")["image_id"][0]
        self.review(root, image_id)
        [photo] = self.reviewed(root)
        assert photo.read() == (root / "photos/cat/00.png").read_bytes()
        assert (photo.label, photo.label_confidence, photo.annotator) == ("dog", 0.9, "ada")
        assert (photo.origin, photo.selection, photo.labelled_at) == ("review", "random_audit", NOW)

    def test_a_reviewer_who_comes_back_is_heard_again_and_once(self, root, warehouse):
        image_id = store.read_store_index(root / "arrivals")["image_id"][0]
        for day, label in enumerate(["dog", "cat", "dog"]):
            self.review(root, image_id, label=label, labelled_at=NOW + timedelta(days=day))
        warehouse.take_in(self.reviewed(root))
        assert warehouse.labels.query("origin == 'review'")["label"].tolist() == ["dog", "cat", "dog"]
        assert warehouse.manifest()["label"].tolist() == ["dog"]
        before = warehouse.files
        warehouse.take_in(self.reviewed(root))
        pd.testing.assert_frame_equal(warehouse.files, before)

    def test_a_review_of_an_image_that_is_not_there_says_what_to_restore(self, root):
        self.review(root, "0" * 64)
        with pytest.raises(VisionpipeError, match="restore data/01_raw/arrivals"):
            self.reviewed(root)
