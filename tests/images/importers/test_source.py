"""A source says which options its importer uses."""

from __future__ import annotations

import re
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from project_copy import ROOT
from visionpipe.images.importers import Source, iterate_photos
from visionpipe.images.importers.photo import ReadFile
from visionpipe.images.importers.places import ListedFile
from visionpipe.images.importers.source import OPTIONS

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_an_option_that_the_importer_does_not_use_is_named_with_those_it_does():
    with pytest.raises(ValidationError) as raised:
        Source(name="mine", importer="folder", path="x", label_column="label")
    [error] = raised.value.errors()
    assert error["msg"] == (
        "importer folder does not use label_column "
        "(it uses: arrived_at, contains_people, labelled, path, storage_options, where)"
    )


@pytest.mark.parametrize(
    ("importer", "missing"),
    [
        ("table", "`table`, `path_column`"),
        ("coco", "`annotations`"),
        ("cvat", "`annotations`"),
        ("label_studio", "`annotations`"),
    ],
)
def test_an_option_that_the_importer_needs_is_named(importer, missing):
    with pytest.raises(ValidationError, match=f"importer {importer} needs {missing}"):
        Source(name="mine", importer=importer, path="x")


def test_every_option_belongs_to_an_importer_and_every_importer_has_some():
    common = {"name", "importer", "where", "labelled", "arrived_at", "contains_people"}
    assert set().union(*OPTIONS.values()) | common == set(Source.model_fields)
    assert set(OPTIONS) == set(Source.model_fields["importer"].annotation.__args__)


@pytest.mark.parametrize(
    "options", [{"importer": "nothing"}, {"pth": "x"}, {"where": {"a": []}}, {"path": 3}]
)
def test_other_nonsense_is_refused(options):
    with pytest.raises(ValidationError):
        Source(**{"name": "mine", "importer": "folder", **options})


def test_paths_and_people():
    source = Source(name="mine", importer="folder", path=Path("x/y"), contains_people=True)
    assert (source.path, source.contains_people) == ("x/y", True)
    assert Source(name="mine", importer="folder", path="s3://b/x").path == "s3://b/x"


def test_two_hundred_thousand_photos_take_less_than_a_kilobyte_each(tmp_path, monkeypatch):
    """Joined to a table, with attributes and a folder's claim each; a tenth of them stands for all."""
    n = 20_000
    folder = tmp_path / "a folder of the usual length"
    folder.mkdir()
    lines = (f"{i:08d},{'cat' if i % 2 else 'dog'},{i % 500},site {i % 7}\n" for i in range(n))
    (folder / "labels.csv").write_text("image,label,sender,site\n" + "".join(lines))

    def paths(self):
        names = ((f"{'cat' if i % 2 else 'dog'}/{i:08d}.jpg", i) for i in range(n))
        return [ListedFile(p, 50_000 + i, 10**18 + i, ReadFile(f"{self.root}/{p}")) for p, i in sorted(names)]

    monkeypatch.setattr("visionpipe.images.importers.local.LocalFolder.files", paths)
    options = {"table": "labels.csv", "path_column": "image", "label_column": "label"}
    source = Source(name="mine", importer="table", path=folder, **options)
    tracemalloc.start()
    photos = list(iterate_photos(source, NOW))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(photos) == n
    assert len(photos[0].claims) == 2
    assert held / n < 1024
    assert peak / n < 4096


def test_the_page_about_photos_names_every_importer_with_its_options():
    page = (ROOT / "docs/photos.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", options)) for name, options in rows}
    assert {name: told.get(name, set()) - {"path"} for name in OPTIONS} == {
        name: options - {"path", "storage_options"} for name, options in OPTIONS.items()
    }


def test_the_examples_of_the_page_about_photos_are_sources():
    page = (ROOT / "docs/photos.md").read_text(encoding="utf-8")
    catalog, sources = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    for name, options in {**sources, **catalog["photos"]["sources"]}.items():
        Source(name=name, **options)
    assert {options["importer"] for options in sources.values()} == set(OPTIONS) - {"elpv", "reviewed"}
