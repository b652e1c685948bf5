"""Photos of strangers run through `kedro run` by pointing a source at their folder, with no code change."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from project_copy import TINY, copy_project


def test_a_slice_of_the_clothing_photos_becomes_a_model(clothing: Path, tmp_path: Path):
    for folder in sorted(path for path in clothing.iterdir() if path.is_dir()):
        (tmp_path / "photos" / folder.name).mkdir(parents=True)
        for photo in sorted(folder.iterdir())[:24]:
            (tmp_path / "photos" / folder.name / photo.name).write_bytes(photo.read_bytes())
    project = copy_project(tmp_path / "project", git=True)
    project.use_photos(tmp_path / "photos")

    done = project.run(
        "kedro", "run", "--params", f"{TINY},promotion.acceptance=[],promotion.min_test_images=10"
    )

    assert done.returncode == 0, done.stderr[-3000:]
    manifest = pd.read_parquet(project.path / "data/02_intermediate/manifest.parquet")
    assert (len(manifest), manifest["label"].nunique()) == (240, 10)
    evaluation = json.loads((project.path / "data/08_reporting/evaluation.json").read_text())
    assert len(evaluation["confusion"]) == 10
