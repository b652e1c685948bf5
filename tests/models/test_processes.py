"""Several processes train what one would; when one of them fails, the run ends with one clear line and leaves none."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import indent

import numpy as np
import pytest
import torch
from torch.nn import functional

from photo_sets import parameters, photo_set
from team_processes import all_gone, both_started, listening_addresses, parent_of
from visionpipe.errors import VisionpipeError
from visionpipe.images.prepare import PreparedImages
from visionpipe.metrics.evaluation import codes_of
from visionpipe.models.candidate import train_candidate
from visionpipe.models.processes import train_in_processes
from visionpipe.models.training.selection import calibrated_losses

TESTS = Path(__file__).parents[1]
TINY = {
    "backbone": "timm/test_resnet",
    "weights": "none",
    "mode": "finetune",
    "batch_size": 10,
    "processes": 2,
}
NO_CHANCE = {  # each process draws on its own what is random in its share
    "dropout": 0.0,
    "augmentation": {"strength": 0.0},
    "loss": {"mixup_alpha": 0.0, "cutmix_alpha": 0.0},
}
ENDLESS = TINY | {"mode": "probe", "probe_epochs": 10_000_000}
RUN = f"""
from photo_sets import parameters, photo_set
from visionpipe.models.processes import train_in_processes
photos = photo_set(train=10, validation=5, seed=4)
train_in_processes(photos.manifest, photos.prepared(64), parameters(**{ENDLESS!r}))
"""


@pytest.fixture(scope="module")
def photos():
    return photo_set(train=10, validation=5, seed=4)


def counted(caplog):
    """Return what took how many images, less how long it took."""
    return [
        record.message.partition(" in ")[0]
        for record in caplog.records
        if record.name == "visionpipe.progress"
    ]


def test_two_processes_train_the_candidate_of_one(photos, tmp_path, caplog):
    """The same global batches; only the order in which gradients are added differs. 1e-4 is the tolerance in losses.

    A network without batch normalisation, which knows no more of a batch than its process's share.
    """
    whole = photos.prepared(64)
    np.save(
        tmp_path / "images.npy", np.concatenate([np.zeros_like(whole.pixels_NHWC[:3]), whole.pixels_NHWC])
    )
    part = PreparedImages(whole.image_ids, np.load(tmp_path / "images.npy", mmap_mode="r")[3:])
    recipe = TINY | {"backbone": "timm/test_vit", "epochs": 2, "whole_network_epochs": 2} | NO_CHANCE
    with caplog.at_level(logging.INFO):
        alone = train_candidate(photos.manifest, whole, parameters(**recipe | {"processes": 1}))
        counted_alone = counted(caplog)
        caplog.clear()
        together = train_in_processes(photos.manifest, part, parameters(**recipe))
    assert counted(caplog) == counted_alone  # of all processes, not of the one that logs
    for name in ("train_loss", "validation_loss", "validation_accuracy", "learning_rate"):
        np.testing.assert_allclose(together.curves[name], alone.curves[name], atol=1e-4, err_msg=name)
    np.testing.assert_allclose(
        np.stack(together.reference["probabilities"]), np.stack(alone.reference["probabilities"]), atol=1e-3
    )
    assert together.classifier.spec.classes == alone.classifier.spec.classes
    assert together.training["moved"] == alone.training["moved"]
    assert len(together.training["curves"]["images_per_s"]) == 4
    told = [
        r for r in caplog.records if r.name == "visionpipe.models.training.phase" and "accuracy" in r.message
    ]
    assert len(told) == 4  # what the first process logs, once
    assert {record.levelno for record in told} == {logging.INFO}


def let_one_begin_with(code: str, rank: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python reads `sitecustomize` at its start."""
    only_there = f"import os\nif os.environ.get('RANK') == '{rank}':\n{indent(code, '    ')}"
    (folder / "sitecustomize.py").write_text(only_there)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


def test_when_memory_runs_out_in_one_all_go_on_with_half_and_train_the_same(
    photos, tmp_path, monkeypatch, caplog
):
    """The second process fails in its second epoch, as torch does."""
    short_of_memory = """
import torch
from visionpipe.models.training.tail import Tail

forward, seen = Tail.forward, []

def limited(self, inputs, kept=None):
    if kept is not None:
        seen.append(len(inputs))
        if len(seen) > 2 and len(inputs) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return forward(self, inputs, kept)

Tail.forward = limited
"""
    let_one_begin_with(short_of_memory, 1, tmp_path, monkeypatch)
    recipe = TINY | {"backbone": "timm/test_vit", "mode": "scratch", "whole_network_epochs": 3} | NO_CHANCE
    alone = train_candidate(photos.manifest, photos.prepared(64), parameters(**recipe | {"processes": 1}))
    with caplog.at_level(logging.INFO):
        together = train_in_processes(
            photos.manifest, photos.prepared(64), parameters(**recipe), tmp_path / "checkpoints"
        )
    assert caplog.text.count("goes through its images 3 at a time") == 1
    assert caplog.text.count("The 2 processes start anew") == 1
    assert "Resuming after epoch 1 " in caplog.text
    np.testing.assert_allclose(together.curves["train_loss"], alone.curves["train_loss"], atol=1e-4)
    np.testing.assert_allclose(together.curves["validation_loss"], alone.curves["validation_loss"], atol=1e-4)


def test_all_processes_validate_the_network_that_is_delivered(photos):
    """Batch statistics differ from process to process; what is kept and told is the first one's network."""
    recipe = TINY | NO_CHANCE | {"mode": "scratch", "whole_network_epochs": 2, "ema_decay": 0.5}
    made = train_in_processes(photos.manifest, photos.prepared(64), parameters(**recipe))
    codes_N = torch.tensor(np.array(codes_of(made.reference["label"], made.classifier.spec.classes)))
    logits_NK = torch.tensor(np.stack(made.reference["probabilities"])).log()  # too few to calibrate
    delivered = calibrated_losses(logits_NK, functional.one_hot(codes_N.long()).double()).mean().item()
    assert made.curves["validation_loss"][made.training["kept_epoch"] - 1] == pytest.approx(
        delivered, abs=1e-5
    )


def test_what_training_refuses_is_refused_in_the_same_words(photos, tmp_path, monkeypatch):
    """The pixels lie in a file already; they are mapped into memory from there, never written again."""
    prepared = photos.prepared(64)
    np.save(tmp_path / "images.npy", prepared.pixels_NHWC)
    mapped = PreparedImages(prepared.image_ids, np.load(tmp_path / "images.npy", mmap_mode="r"))
    monkeypatch.setattr(np, "save", None)
    with pytest.raises(VisionpipeError, match=r"^training stopped: .*; lower training\.learning_rate$"):
        train_in_processes(photos.manifest, mapped, parameters(**TINY, epochs=1, learning_rate=1e30))


def test_a_process_that_is_killed_ends_the_run_and_the_others(photos, caplog):
    def kill_one():
        workers = both_started(os.getpid())
        os.kill(workers[1], signal.SIGKILL)
        return workers

    with ThreadPoolExecutor(1) as beside:
        killing = beside.submit(kill_one)
        with pytest.raises(VisionpipeError, match=r"one of 2 processes was killed by SIGKILL .*batch_size"):
            train_in_processes(photos.manifest, photos.prepared(64), parameters(**ENDLESS))
    assert all_gone(killing.result())
    assert "The last lines of the training processes" in caplog.text


def test_a_disk_that_is_full_for_one_process_is_named(photos, tmp_path, monkeypatch):
    """The first one alone saves, while the others wait for it."""
    disk_full = """
from visionpipe.models.training.checkpoint import Checkpoints

def save(*_):
    raise OSError(28, "No space left on device", "x")

Checkpoints.save = save
"""
    let_one_begin_with(disk_full, 0, tmp_path, monkeypatch)
    with pytest.raises(VisionpipeError, match=r"^training stopped: .* No space left on device: 'x'$"):
        train_in_processes(photos.manifest, photos.prepared(64), parameters(**TINY, epochs=2), tmp_path)


@pytest.mark.slow
def test_an_error_that_nobody_foresaw_is_in_the_log(photos, caplog):
    without_labels = photos.manifest.drop(columns="label")
    with pytest.raises(
        VisionpipeError, match="one of 2 processes ended with status 1; the log has its last lines"
    ):
        train_in_processes(without_labels, photos.prepared(64), parameters(**TINY))
    assert "KeyError: 'label'" in caplog.text


@pytest.mark.slow
def test_a_team_that_was_killed_goes_on_and_ends_with_the_same_weights(photos, tmp_path, caplog):
    recipe, checkpoints = parameters(**TINY, epochs=60), tmp_path / "checkpoints"

    def kill_one_after_an_epoch():
        worker = both_started(os.getpid())[0]
        while not list(checkpoints.rglob("*.safetensors")):
            time.sleep(0.01)
        os.kill(worker, signal.SIGKILL)

    with ThreadPoolExecutor(1) as beside:
        beside.submit(kill_one_after_an_epoch)
        with pytest.raises(VisionpipeError, match="killed by SIGKILL"):
            train_in_processes(photos.manifest, photos.prepared(64), recipe, checkpoints)
    with caplog.at_level(logging.INFO):
        resumed = train_in_processes(photos.manifest, photos.prepared(64), recipe, checkpoints)
    assert "Resuming after epoch" in caplog.text
    unbroken = train_in_processes(photos.manifest, photos.prepared(64), recipe)
    weights = unbroken.classifier.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in resumed.classifier.state_dict().items())


@pytest.mark.slow
def test_an_interrupt_ends_the_processes(photos):
    def interrupt():
        workers = both_started(os.getpid())
        os.kill(os.getpid(), signal.SIGINT)
        return workers

    with ThreadPoolExecutor(1) as beside:
        interrupting = beside.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_in_processes(photos.manifest, photos.prepared(64), parameters(**ENDLESS))
    assert all_gone(interrupting.result())


def test_a_run_listens_to_this_machine_alone_and_killed_leaves_neither_process_nor_folder_behind(tmp_path):
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    run = subprocess.Popen(
        [sys.executable, "-c", RUN], env={**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path)}
    )
    try:
        workers = both_started(run.pid)
        while not all(heard_on := [listening_addresses(worker) for worker in workers]):
            time.sleep(0.1)  # they have not met yet
        heard_on.append(listening_addresses(parent_of(workers[0])))
    finally:
        run.kill()
        run.wait()
    gone = all_gone(workers)
    for left in [worker for worker in workers if not gone and Path(f"/proc/{worker}").exists()]:
        os.kill(left, signal.SIGKILL)
    assert gone
    assert not list(tmp_path.iterdir())
    assert set().union(*heard_on) == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"batch_size": 7, "processes": 4}, r"training\.batch_size: 7 images .* 4 processes; use at least 8"),
        (
            {"batch_size": 64, "processes": 11},
            r"training\.processes: 20 train images cannot be shared among 11",
        ),
        (
            {"batch_size": 64, "processes": 6},
            r"training\.processes: 10 validation images .* among 6; use fewer",
        ),
    ],
)
def test_more_processes_than_can_share_a_batch_are_refused(recipe, message, photos):
    with pytest.raises(VisionpipeError, match=message):
        train_in_processes(photos.manifest, photos.prepared(64), parameters(**recipe))


def test_more_processes_than_gpus_are_refused(photos, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(VisionpipeError, match=r"training\.processes: 2 are asked for .* has 1 GPUs?;"):
        train_in_processes(photos.manifest, photos.prepared(64), parameters(processes=2, device="cuda"))
