"""Whatever a table says, every file and every row is accounted for exactly once."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from visionpipe.images.importers import LabelClaim, ReadFile, Source
from visionpipe.images.importers.join import join
from visionpipe.images.importers.places import ListedFile
from visionpipe.images.importers.rows import Row

NOW = datetime(2026, 1, 5, tzinfo=UTC)
FOLDERS = st.sampled_from(["", "a/", "b/", "a/b/"])
NAMES = st.sampled_from(["1", "2", "1.v2", "É"])
SUFFIXES = st.sampled_from(["", ".png", ".jpg"])
PATHS = st.builds(lambda folder, name, suffix: folder + name + suffix, FOLDERS, NAMES, SUFFIXES)
REFERENCES = st.one_of(
    PATHS, PATHS.map("./{}".format), st.sampled_from(["", "labels.csv", "/photos/a/1.png"])
)
ROWS = st.lists(st.tuples(REFERENCES, st.sampled_from(["cat", "Cat", "dog", "a", None])), max_size=12)


class Folder:
    """A place of these files."""

    name, can_list = "/photos", True

    def __init__(self, paths: set[str]) -> None:
        self.paths = paths

    def files(self) -> list[ListedFile]:
        return [ListedFile(path, 1, 1, ReadFile(path)) for path in sorted({*self.paths, "labels.csv"})]


@given(st.sets(PATHS, max_size=8), ROWS, st.sampled_from([None, True, False]))
def test_every_file_and_every_row_is_accounted_for_once(paths, told, folder_labels):
    rows = [
        Row(
            references=(reference,) if reference else (),
            where=f"row {number}",
            # each row is an annotator of its own, so that its claim can be followed
            claims=() if label is None else (LabelClaim(label, annotator=f"row {number}"),),
        )
        for number, (reference, label) in enumerate(told)
    ]
    source = Source(
        name="mine",
        importer="table",
        path="/photos",
        table="labels.csv",
        path_column="p",
        folder_labels=folder_labels,
    )

    photos = list(join(source, Folder(paths), "labels.csv", iter(rows), NOW))

    assert len({photo.path for photo in photos}) == len(photos)
    present = [photo for photo in photos if photo.refusal is None]
    assert {photo.path for photo in present} == paths
    missing = [photo for photo in photos if photo.refusal is not None]
    assert {photo.refusal[0] for photo in missing} <= {"no_image", "ambiguous_image"}
    heard = Counter(
        claim.annotator for photo in present for claim in photo.claims if claim.annotator != "folder"
    )
    assert set(heard.values()) <= {1}
    # a labelled row that is not heard is named among the missing, by its reference
    for row in rows:
        if row.claims and row.where not in heard:
            names = {"/photos/a/1.png": "a/1.png"}
            wanted = row.references[0].removeprefix("./") if row.references else f"labels.csv#{row.where}"
            assert any(photo.path.rstrip("#") == names.get(wanted, wanted) for photo in missing), row


@given(st.sets(PATHS, min_size=1, max_size=8), ROWS)
def test_no_image_gets_two_rows_that_name_different_files(paths, told):
    """By name or stem, an image is one row's or nobody's."""
    rows = [
        Row((reference,), f"row {n}", (LabelClaim("x", annotator=reference),))
        for n, (reference, _) in enumerate(told)
        if reference
    ]
    source = Source(name="mine", importer="table", path="/photos", table="labels.csv", path_column="p")
    for photo in join(source, Folder(paths), "labels.csv", rows, NOW):
        asked = {claim.annotator.removeprefix("./").removeprefix("/photos/") for claim in photo.claims} - {
            "folder"
        }
        assert len(asked) <= 1
