"""Class folders are listed without reading them, and what is wrong with them is said clearly."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from photo_files import class_folders, encode, picture
from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Photo, Source, iterate_photos

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def labels(photo: Photo) -> list[str]:
    return [claim.label for claim in photo.claims]


def test_a_class_folder_is_a_label_and_the_listing_is_sorted(tmp_path, listed):
    photos = listed(class_folders(tmp_path, cat=2, ant=1))
    assert [(photo.path, labels(photo)) for photo in photos] == [
        ("ant/00.png", ["ant"]),
        ("cat/00.png", ["cat"]),
        ("cat/01.png", ["cat"]),
    ]
    assert {photo.arrived_at for photo in photos} == {NOW}


def test_a_deeper_folder_keeps_the_label_of_the_class_folder(tmp_path, listed):
    class_folders(tmp_path / "cat", night=1)
    assert [(photo.path, labels(photo)) for photo in listed(tmp_path)] == [("cat/night/00.png", ["cat"])]


def test_a_file_beside_the_class_folders_has_no_label(tmp_path, listed):
    (tmp_path / "stray.png").write_bytes(encode(picture(0), "PNG"))
    assert [photo.claims for photo in listed(tmp_path)] == [()]


def test_a_folder_without_a_name_is_no_class(tmp_path, listed):
    (tmp_path / " ").mkdir()
    (tmp_path / " " / "0.png").write_bytes(encode(picture(0), "PNG"))
    assert [photo.claims for photo in listed(tmp_path)] == [()]


def test_production_photos_come_without_labels(tmp_path, listed):
    photos = listed(class_folders(tmp_path, cat=1), labelled=False)
    assert [photo.claims for photo in photos] == [()]


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


def test_folders_that_link_to_each_other_are_no_circle(tmp_path, listed):
    photos = class_folders(tmp_path, cat=1, dog=1)
    (photos / "cat/rel").symlink_to(photos / "dog")
    (photos / "dog/rel").symlink_to(photos / "cat")
    assert [photo.path for photo in listed(photos)] == [
        "cat/00.png",
        "cat/rel/00.png",
        "dog/00.png",
        "dog/rel/00.png",
    ]


def test_a_folder_that_two_class_folders_link_has_both_labels(tmp_path, listed):
    shared = class_folders(tmp_path / "elsewhere", both=1) / "both"
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        (tmp_path / "photos" / label / "more").symlink_to(shared)
    assert [(photo.path, labels(photo)) for photo in listed(tmp_path / "photos")] == [
        ("cat/more/00.png", ["cat"]),
        ("dog/more/00.png", ["dog"]),
    ]


def test_links_that_double_the_ways_at_each_step_end_in_one_line(tmp_path, listed, monkeypatch):
    for step in range(30):
        (tmp_path / f"d{step}").mkdir()
        for name in "xy":
            (tmp_path / f"d{step}" / name).symlink_to(f"../d{step + 1}")
    class_folders(tmp_path, d30=1)
    calls, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: calls.append(folder) or scandir(folder))
    with pytest.raises(
        VisionpipeError, match=r"/d\d+: links lead to this folder in more than 100 ways, as .*/[xy]:"
    ) as refused:
        listed(tmp_path)
    assert "\n" not in str(refused.value)
    assert len(calls) < 1000


def test_a_class_whose_accents_are_written_in_two_ways_is_one(tmp_path, listed):
    for name in ("caf\u00e9", "cafe\u0301"):
        class_folders(tmp_path, **{name: 1})
    assert {photo.claims[0].label for photo in listed(tmp_path)} == {"caf\u00e9"}


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
    "name",
    ["a b.png", "ünïcode 照片.png", "family \U0001f469\u200d\U0001f467.png", "quote'\".png", "\\xff.png"],
)
def test_a_strange_name_is_kept_as_it_is(name, tmp_path, listed):
    (tmp_path / "ça va").mkdir()
    (tmp_path / "ça va" / name).write_bytes(b"x")
    [photo] = listed(tmp_path)
    assert (photo.path, labels(photo)) == (f"ça va/{name}", ["ça va"])
    assert photo.read() == b"x"


def test_a_name_that_is_not_utf_8_is_written_with_its_bytes(tmp_path, listed):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    [photo] = listed(tmp_path)
    assert (photo.path, labels(photo)) == ("caf\\xe9/\\xff.png", ["caf\\xe9"])
    assert photo.read() == b"x"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat\x1b]0;OWNED\x07\x1b[2J", r"cat\x1b]0;OWNED\x07\x1b[2J"),
        ("dog\n[12:00:00] INFO all checks passed", r"dog\n[12:00:00] INFO all checks passed"),
        ("dog\u202egnp", r"dog\u202egnp"),
        ("\u2067dog\u2028", r"\u2067dog\u2028"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_escapes(name, shown, tmp_path, listed):
    (tmp_path / name).mkdir()
    (tmp_path / name / f"{name}.png").write_bytes(b"x")
    [photo] = listed(tmp_path)
    assert (photo.path, labels(photo)) == (f"{shown}/{shown}.png", [shown])
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


def test_the_folder_s_name_is_what_the_folder_says(tmp_path, listed):
    [photo] = listed(class_folders(tmp_path, cat=1))
    assert [(claim.annotator, claim.confidence, claim.origin) for claim in photo.claims] == [
        ("folder", 1.0, "import")
    ]
