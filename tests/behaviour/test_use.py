"""`visionpipe use PATH` says what it found and writes conf/local, without losing what stands there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from photo_files import class_folders
from project_copy import Project, copy_project
from visionpipe.cli import main


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Project:
    return copy_project(tmp_path_factory.mktemp("project") / "a project", git=False)


@pytest.fixture
def local(template) -> Path:
    folder = template.path / "conf/local"
    for file in folder.iterdir():
        file.unlink()
    return folder


@pytest.fixture
def use(local, monkeypatch):
    monkeypatch.chdir(local.parents[1])
    monkeypatch.setenv("COLUMNS", "150")

    def run(*arguments: str | Path):
        return CliRunner().invoke(main, ["use", *map(str, arguments)], catch_exceptions=False)

    return run


@pytest.fixture
def pets(tmp_path) -> Path:
    root = class_folders(tmp_path / "pets", cat=3, dog=2)
    rows = [f"cat/0{n},cat,s{n}\n" for n in range(3)] + [
        "dog/00,cat,s0\n",
        "dog/01,dog,s9\n",
        "dog/77,dog,s9\n",
    ]
    (root / "labels.csv").write_text("image,label,sender\n" + "".join(rows))
    return root


def entry(sources: dict) -> dict:
    return {"type": "visionpipe.datasets.photos.PhotoSources", "sources": sources}


def held(local: Path, name: str = "catalog.yml") -> dict:
    return yaml.safe_load((local / name).read_text())


def table(pets: Path) -> dict:
    columns = {"table": "labels.csv", "path_column": "image", "label_column": "label"}
    return {"pets": {"importer": "table", "path": str(pets), **columns}}


def test_it_says_what_it_found_writes_it_and_names_the_next_command(use, pets, local):
    done = use(pets, "--group-by", "sender")
    assert done.exit_code == 0, done.output
    for words in (
        "table labels.csv",
        "5 .png",
        "cat 4, dog 1",
        "sender (4 values)",
        "1 row without an image: dog/77",
        "1 contradictory label: dog/00.png (folder: dog / table: cat)",
        "model_name",
    ):
        assert words in done.stdout
    assert done.stdout.splitlines()[-1] == "Next: kedro run"
    assert held(local) == {"photos": entry(table(pets))}
    assert held(local, "parameters_ingestion.yml") == {"ingestion": {"split": {"group_by": "sender"}}}


def test_files_that_repeat_are_counted_one_by_one_and_a_few_are_named(use, tmp_path):
    folders = class_folders(tmp_path / "shots", **{f"kind {n:02}": 1 for n in range(12)})
    for folder in folders.iterdir():
        (folder / "00.png").rename(folder / f"{folder.name}.png")
        (folder / "twin.PNG").write_bytes(b"x" * 70)
        (folder / "twin.png").write_bytes(b"x" * 50)
    [line, other] = [line for line in json.loads(use(folders, "--json").stdout)["trouble"] if "group" in line]
    assert line.startswith(
        "24 files of one name and size in several folders, in 2 groups: kind 00/twin.PNG, "
    )
    assert (line.count("twin.PNG"), line.count("twin.png"), line.count("…")) == (3, 3, 2)
    assert other.startswith(
        "24 names that differ only in upper and lower case, in 12 groups: kind 00/twin.PNG, "
    )
    assert other.count("twin") == 6


def test_kedro_reads_what_was_written(use, pets, local, template):
    assert use(pets, "--group-by", "sender").exit_code == 0
    code = (
        "from pathlib import Path; from kedro.framework.session import KedroSession; "
        "from kedro.framework.startup import bootstrap_project; bootstrap_project(Path.cwd()); "
        "session = KedroSession.create(); context = session.load_context(); "
        "split = context.params['ingestion'].split; print(split.group_by, split.test, "
        "sorted(photo.path for photo in context.catalog.load('photos')))"
    )
    done = template.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    paths = ["cat/00.png", "cat/01.png", "cat/02.png", "dog/00.png", "dog/01.png", "dog/77"]
    assert done.stdout.strip().splitlines()[-1] == f"sender 0.25 {paths}"


def test_a_second_time_changes_nothing_and_a_dry_run_writes_nothing(use, pets, local):
    assert use(pets, "--dry-run").stdout.endswith("nothing written\n")
    assert list(local.iterdir()) == []
    use(pets)
    before = (local / "catalog.yml").stat().st_mtime_ns
    assert "conf/local says so already" in use(pets).stdout
    assert (local / "catalog.yml").stat().st_mtime_ns == before


def test_other_photos_are_replaced_only_by_force_and_nothing_else_is_lost(use, pets, local, tmp_path):
    (local / "catalog.yml").write_text(
        "# mine\nother: {type: x.Y}  # keep\nphotos:\n  type: visionpipe.datasets.photos.PhotoSources\n"
        "  sources:\n    old: {importer: elpv}  # goes\n# about the last one\nlast:\n  type: x.Z\n"
    )
    (local / "parameters_ingestion.yml").write_text(
        "ingestion:\n  min_side_px: 9\n  split: {test: 0.3}\n# end\n"
    )
    before = {file: file.read_text() for file in local.iterdir()}
    done = use(pets, "--group-by", "sender")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "catalog.yml chooses other `photos` already; --force replaces them" in done.stderr
    assert {file: file.read_text() for file in local.iterdir()} == before

    assert use(pets, "--group-by", "sender", "--force").exit_code == 0
    text = (local / "catalog.yml").read_text()
    assert held(local) == {"other": {"type": "x.Y"}, "photos": entry(table(pets)), "last": {"type": "x.Z"}}
    assert [c for c in ("# mine", "# keep", "# about the last one", "# goes") if c in text] == [
        *("# mine", "# keep", "# about the last one"),
    ]
    assert held(local, "parameters_ingestion.yml") == {
        "ingestion": {"min_side_px": 9, "split": {"test": 0.3, "group_by": "sender"}}
    }


def test_a_grouping_that_the_new_photos_do_not_have_does_not_stay_unseen(use, pets, local, tmp_path):
    assert use(pets, "--group-by", "sender").exit_code == 0
    cars = class_folders(tmp_path / "cars", van=1, bus=1)
    done = use(cars, "--force", "--dry-run")
    assert done.exit_code == 0
    done = use(cars)
    assert "groups by 'sender', which these photos do not have" in done.stderr
    assert list(held(local)["photos"]["sources"]) == ["pets"]
    assert use(cars, "--force").exit_code == 0
    assert list(held(local)["photos"]["sources"]) == ["cars"]
    assert held(local, "parameters_ingestion.yml") == {"ingestion": {"split": {}}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# only a comment",
        "{}",
        "{other: {type: x}, photos: {type: y}}",
        "photos:\n- 1\n- 2",
        "photos:\nother: 3",
        "photos: &a\n  b: 1\nother: *a",
        "photos: |\n  text\n\n# after\nother: 3\n",
    ],
)
def test_yaml_of_any_shape_keeps_its_other_entries(text, use, pets, local):
    (local / "catalog.yml").write_text(text)
    before = yaml.safe_load(text) or {}
    done = use(pets, "--force")
    assert done.exit_code == 0, done.output
    assert held(local) == {**before, "photos": entry(table(pets))}


def test_an_entry_in_another_file_of_conf_local_is_found_there(use, pets, local):
    (local / "catalog_mine.yml").write_text("photos: {type: x}\n")
    assert use(pets).exit_code == 1
    assert use(pets, "--force").exit_code == 0
    assert sorted(file.name for file in local.iterdir()) == ["catalog_mine.yml", "parameters.yml"]


@pytest.mark.parametrize("text", ["a: [", "- 1", "a: 1\na: {b", "\tx"])
def test_a_broken_file_is_left_as_it_is(text, use, pets, local):
    (local / "catalog.yml").write_text(text)
    done = use(pets)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "catalog.yml" in done.stderr
    assert (local / "catalog.yml").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["gone"], "gone is not a folder"),
        (["."], "choose one with --table|which column|no image|nothing that labels"),
        (["PETS", "--group-by", "nobody"], "no photo has an attribute 'nobody'; there are: sender"),
        (["PETS", "--label-column", "nobody", "--table", "labels.csv"], "no column 'nobody'"),
        (["PETS", "--table", "gone.csv"], "gone.csv: no such file"),
        (["s3://bucket/pets"], "pip install s3fs"),
        (["PETS/cat"], "3 images and nothing that labels them"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(arguments, wrong, use, pets, local):
    import re

    done = use(*[argument.replace("PETS", str(pets)) for argument in arguments])
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert re.search(wrong, done.stderr)
    assert list(local.iterdir()) == []


@pytest.mark.parametrize("folder", ["data/01_raw/images", "data/02_intermediate/deep", "data/08_reporting"])
def test_photos_where_runs_write_would_be_lost(folder, use, pets, local, template, tmp_path):
    inside = template.path / folder / "pets"
    inside.parent.mkdir(parents=True, exist_ok=True)
    pets.rename(inside)
    (tmp_path / "link").symlink_to(inside)
    for path in (inside, tmp_path / "link"):
        done = use(path)
        assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
        assert "`make forget` empties it: move your photos" in done.stderr
    assert list(local.iterdir()) == []


def test_photos_beside_them_are_the_users_own(use, pets, template):
    beside = template.path / "data/01_raw/pets"
    beside.parent.mkdir(parents=True, exist_ok=True)
    pets.rename(beside)
    assert use(beside).exit_code == 0


def test_photos_are_not_taken_to_be_as_good_upside_down_unless_somebody_says_so(use, pets, local):
    assert "training.views" in use(pets).output
    file = local / "parameters.yml"
    assert yaml.safe_load(file.read_text()) == {"training": {"views": ["identity", "horizontal_flip"]}}
    file.write_text(mine := "training:\n  epochs: 3\n  views: [identity, rotate_90] # seen from above\n")
    use(pets, "--force")
    assert file.read_text() == mine


def test_views_that_stand_in_a_second_file_are_found(use, pets, local):
    (local / "parameters.yml").write_text("training: {epochs: 3}\n")
    (local / "parameters_views.yml").write_text("training: {views: [identity, rotate_90]}\n")
    assert use(pets).exit_code == 0
    assert held(local, "parameters.yml") == {"training": {"epochs": 3}}


def test_one_file_of_parameters_takes_groups_and_symmetries(use, pets, local):
    (local / "parameters.yml").write_text("ingestion:\n  min_side_px: 64\ntraining:\n  seed: 3\n")
    assert use(pets, "--group-by", "sender").exit_code == 0
    assert yaml.safe_load((local / "parameters.yml").read_text()) == {
        "ingestion": {"min_side_px": 64, "split": {"group_by": "sender"}},
        "training": {"seed": 3, "views": ["identity", "horizontal_flip"]},
    }


def test_json_is_for_machines(use, pets, local):
    done = use(pets, "--json", "--name", "animals")
    said = json.loads(done.stdout)
    assert (said["layout"], said["n_images"], said["classes"]) == (
        "table labels.csv",
        5,
        {"cat": 4, "dog": 1},
    )
    assert said["written"] == [str(local / "parameters.yml"), str(local / "catalog.yml")]
    assert list(said["sources"]) == ["animals"]


def test_a_folder_named_like_a_reference_is_taken_as_it_is(use, tmp_path, template):
    root = class_folders(tmp_path / "${oc.env:HOME} a: #b", cat=1, dog=1)
    assert use(root).exit_code == 0
    code = (
        "from kedro.framework.startup import bootstrap_project; from pathlib import Path; "
        "bootstrap_project(Path.cwd()); from kedro.framework.project import settings; "
        "loader = settings.CONFIG_LOADER_CLASS('conf', **settings.CONFIG_LOADER_ARGS); "
        "[source] = loader['catalog']['photos']['sources'].values(); print(source['path'])"
    )
    done = template.run("python", "-c", code)
    assert done.stdout.strip().splitlines()[-1:] == [str(root)], done.stderr
