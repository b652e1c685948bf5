"""A training that is killed goes on where it was, and ends with the weights of an unbroken one, to the bit."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from photo_sets import good_candidate, parameters, photo_set
from visionpipe.errors import VisionpipeError
from visionpipe.models.candidate import train_candidate
from visionpipe.models.training import phase
from visionpipe.models.training.checkpoint import Checkpoints, Snapshot, discard, training_key

TESTS = Path(__file__).parents[2]
SCRATCH = {
    "mode": "scratch",
    "whole_network_epochs": 4,
    "distance_to_start": 0.0,
    "feature_distillation": 0.0,
}
GRADUAL = {"mode": "finetune", "tuned_stages": 2, "epochs": 2, "whole_network_epochs": 3, "probe_epochs": 3}
EVERYTHING = {
    "backbone": "timm/test_resnet",
    "weights": "none",
    "batch_size": 8,
    "ema_decay": 0.8,
    "layer_decay": 0.7,
    "distance_to_start": 0.01,
    "feature_distillation": 0.1,
    "augmentation": {"strength": 0.5},
    "loss": {
        "mixup_alpha": 0.2,
        "cutmix_alpha": 1.0,
        "imbalance": "balanced_sampling",
        "label_smoothing": 0.1,
    },
}
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from safetensors.torch import save_file
from photo_sets import parameters, photo_set
from visionpipe.models.training import checkpoint
from visionpipe.models.candidate import train_candidate

folder, changes, dies_after = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
written, save = 0, checkpoint.Checkpoints.save
def counted(self, *given):
    global written
    save(self, *given)
    written += 1
    if written == dies_after:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.Checkpoints.save = counted
photos = photo_set(train=12, validation=6, seed=4)
candidate = train_candidate(photos.manifest, photos.prepared(64), parameters(**changes), checkpoints=folder)
save_file({k: v.contiguous() for k, v in candidate.classifier.state_dict().items()}, sys.argv[4])
print(json.dumps(candidate.curves))
"""


def start(folder, changes, *, dies_after=0):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            SCRIPT,
            folder / "checkpoints",
            json.dumps(changes),
            str(dies_after),
            folder / "w",
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def files(folder):
    return sorted(path.name for path in (folder / "checkpoints").glob("*/*.safetensors"))


@pytest.mark.parametrize(
    ("recipe", "kills"), [(GRADUAL, (1, 2)), (SCRATCH, (2,))], ids=["gradual", "scratch"]
)
def test_killed_again_and_again_it_ends_with_the_same_weights(recipe, kills, tmp_path):
    changes = EVERYTHING | recipe
    photos = photo_set(train=12, validation=6, seed=4)
    unbroken = good_candidate(photos, **changes)
    reached = []
    for dies_after in (*kills, 0):
        process = start(tmp_path, changes, dies_after=dies_after)
        printed, complaints = process.communicate(timeout=120)
        assert process.returncode == (-signal.SIGKILL if dies_after else 0), complaints
        reached += files(tmp_path)
    assert (
        len(reached) == len(set(reached)) == len(kills) + 1
    )  # one file at a time, each further than the last
    assert json.loads(printed) == unbroken.curves
    weights = load_file(tmp_path / "w")
    for name, tensor in unbroken.classifier.state_dict().items():
        assert torch.equal(weights[name], tensor), name


def test_killed_at_any_moment_it_leaves_nothing_half_written(tmp_path):
    changes = EVERYTHING | SCRATCH | {"whole_network_epochs": 500}
    process = start(tmp_path, changes)
    while not files(tmp_path):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    time.sleep(0.2)
    process.kill()
    process.communicate()
    found = newest(tmp_path / "checkpoints")
    assert found is not None
    assert len(found.facts["curves"]["epoch"]) == found.facts["done"] >= 1


@pytest.fixture(scope="module")
def photos():
    return photo_set(train=6, validation=4, seed=4)


def interrupted(photos, folder, monkeypatch, after=2, **changes):
    """Train until so many epochs are saved, then fail as a bug would."""
    save = Checkpoints.save

    def failing(self, number, epoch, snapshot):
        save(self, number, epoch, snapshot)
        if epoch == after:
            raise KeyboardInterrupt

    recipe = parameters(**({"backbone": "timm/test_resnet", "weights": "none"} | SCRATCH | changes))
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", failing)
        with pytest.raises(KeyboardInterrupt):
            train_candidate(photos.manifest, photos.prepared(64), recipe, checkpoints=folder)
    return recipe


def epochs_trained(photos, manifest, folder, monkeypatch, recipe):
    """Return how many epochs are still trained with what is in the folder."""
    trained, epoch = [], phase.PhaseTraining._epoch
    with monkeypatch.context() as patch:
        patch.setattr(
            phase.PhaseTraining, "_epoch", lambda self, advance: trained.append(1) or epoch(self, advance)
        )
        train_candidate(manifest, photos.prepared(recipe.image_size_px), recipe, checkpoints=folder)
    return len(trained)


def newest(folder):
    """Return the newest snapshot of the only training that is kept."""
    (own,) = folder.iterdir()
    return Checkpoints(folder, own.name).latest()


class TestKey:
    def test_the_same_training_goes_on(self, photos, tmp_path, monkeypatch):
        recipe = interrupted(photos, tmp_path, monkeypatch)
        assert epochs_trained(photos, photos.manifest, tmp_path, monkeypatch, recipe) == 2

    def test_one_that_ended_and_was_not_saved_need_not_train_again(self, photos, tmp_path, monkeypatch):
        recipe = parameters(backbone="timm/test_resnet", weights="none", **SCRATCH)
        first, again = (
            train_candidate(photos.manifest, photos.prepared(64), recipe, checkpoints=tmp_path)
            for _ in range(2)
        )
        assert epochs_trained(photos, photos.manifest, tmp_path, monkeypatch, recipe) == 0
        for name, tensor in first.classifier.state_dict().items():
            assert torch.equal(again.classifier.state_dict()[name], tensor), name
        pd.testing.assert_frame_equal(again.reference, first.reference)

    def test_an_epoch_is_told_of_once_it_is_kept(self, photos, tmp_path, monkeypatch, caplog):
        """Whoever stops a run after such a line goes on after that epoch."""
        kept = []

        class Reader(logging.Handler):
            def emit(self, record):
                if "epoch " in record.getMessage():
                    kept.append([path.stem for path in tmp_path.rglob("*.safetensors")])

        monkeypatch.setattr(phase.logger, "handlers", [Reader(logging.INFO)])
        caplog.set_level(logging.INFO, phase.logger.name)
        interrupted(photos, tmp_path, monkeypatch)
        assert kept == [["02-00001"]]

    def test_once_it_is_discarded_it_starts_anew(self, photos, tmp_path, monkeypatch):
        recipe = interrupted(photos, tmp_path, monkeypatch)
        (tmp_path / ".gitkeep").touch()
        discard(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".gitkeep"]
        discard(tmp_path / "there is none")
        assert epochs_trained(photos, photos.manifest, tmp_path, monkeypatch, recipe) == 4

    @pytest.mark.parametrize("changed", ["parameter", "label", "rivals", "source", "threads"])
    def test_another_training_starts_anew(self, changed, photos, tmp_path, monkeypatch):
        recipe, manifest = interrupted(photos, tmp_path, monkeypatch), photos.manifest.copy()
        if changed == "parameter":
            recipe = recipe.model_copy(update={"weight_decay": 0.01})
        elif changed == "label":
            manifest.loc[manifest["split"] == "train", "label_confidence"] = 0.9
        elif changed == "rivals":
            manifest["rival_labels"] = "{}"
        elif changed == "threads":
            monkeypatch.setattr("visionpipe.models.training.checkpoint.torch.get_num_threads", lambda: 77)
        else:
            monkeypatch.setattr("visionpipe.models.training.checkpoint.source_sha256", lambda: "9" * 64)
        assert epochs_trained(photos, manifest, tmp_path, monkeypatch, recipe) == 4

    def test_test_images_do_not_matter(self, photos):
        start, cpu = torch.nn.Linear(2, 2), torch.device("cpu")
        without_test = photos.manifest[photos.manifest["split"] != "test"]
        one, other = (
            training_key(rows, parameters(), start, cpu) for rows in (photos.manifest, without_test)
        )
        assert one == other

    def test_other_weights_to_start_from_or_another_device_make_another_training(self):
        manifest = pd.DataFrame(columns=["image_id", "label", "label_confidence", "split"])
        starts = [torch.nn.Linear(2, 2) for _ in range(2)]
        cpu, gpu = torch.device("cpu"), torch.device("cuda")
        keys = [training_key(manifest, parameters(), start, cpu) for start in (*starts, starts[0])]
        assert keys[0] == keys[2] != keys[1]
        assert training_key(manifest, parameters(), starts[0], gpu) != keys[0]

    def test_what_is_no_checkpoint_is_left_alone(self, photos, tmp_path, monkeypatch):
        (tmp_path / ".gitkeep").touch()
        (tmp_path / "candidate").mkdir()
        interrupted(photos, tmp_path, monkeypatch)
        assert {".gitkeep", "candidate"} <= {path.name for path in tmp_path.iterdir()}

    def test_the_checkpoints_of_another_training_go(self, photos, tmp_path, monkeypatch):
        interrupted(photos, tmp_path, monkeypatch)
        interrupted(photos, tmp_path, monkeypatch, weight_decay=0.5)
        assert len(list(tmp_path.rglob("*.safetensors"))) == 1


class TestDamage:
    @pytest.mark.parametrize("damage", ["cut", "garbage", "no facts"])
    def test_a_damaged_checkpoint_is_named_and_left_out(self, damage, photos, tmp_path, monkeypatch, caplog):
        recipe = interrupted(photos, tmp_path, monkeypatch)
        (path,) = tmp_path.rglob("*.safetensors")
        if damage == "no facts":
            save_file({"a": torch.zeros(1)}, path)
        else:
            path.write_bytes(path.read_bytes()[:1000] if damage == "cut" else b"\x00\xff" * 500)
        assert epochs_trained(photos, photos.manifest, tmp_path, monkeypatch, recipe) == 4
        assert str(path) in caplog.text

    def test_a_loss_that_is_no_number_leaves_the_last_good_epoch(self, photos, tmp_path, monkeypatch):
        recipe, losses = parameters(backbone="timm/test_resnet", weights="none", **SCRATCH), []
        finite = phase.finite

        def poisoned(loss, name, last_good=""):
            losses.append(loss)
            return finite(float("nan") if name == "the loss of epoch 3" else loss, name, last_good)

        monkeypatch.setattr(phase, "finite", poisoned)
        with pytest.raises(
            VisionpipeError, match=r"the loss of epoch 3 is nan; .* epoch 2 is kept in"
        ) as stopped:
            train_candidate(photos.manifest, photos.prepared(64), recipe, checkpoints=tmp_path)
        (path,) = tmp_path.rglob("*.safetensors")
        assert str(path.parent) in str(stopped.value)
        assert newest(tmp_path).facts["done"] == 2


def test_a_snapshot_comes_back_as_it_was(tmp_path):
    tensors = {
        "tail.a": torch.randn(3, 4, 2, 2).to(memory_format=torch.channels_last),
        "best.n": torch.tensor(7),
    }
    checkpoints = Checkpoints(tmp_path, "k" * 64)
    assert checkpoints.latest() is None
    for epoch in (1, 2, 10):
        checkpoints.save(1, epoch, Snapshot({"epoch": epoch, "nothing": None}, tensors))
    found = checkpoints.latest()
    assert found.facts == {"epoch": 10, "nothing": None}
    assert {name: each.dtype for name, each in found.tensors.items()} == {
        name: each.dtype for name, each in tensors.items()
    }
    assert all(torch.equal(found.tensors[name], each) for name, each in tensors.items())
    assert set(found.part("tail")) == {"a"}
