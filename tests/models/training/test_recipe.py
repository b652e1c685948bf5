"""Every `auto` is resolved from the data, and what the user says stands."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from photo_sets import good_candidate, photo_set
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.recipe import default_precision, log_choices, resolve, unread

CPU = torch.device("cpu")
AUTO = {
    "tuned_stages": 3,
    "augmented_views": 2,
    "epochs": 5,
    "whole_network_epochs": 4,
    "learning_rate": 1e-2,
    "ema_decay": 0.5,
    "precision": "float32",
}


def targets(n_images, share=0.5, doubt=0.0):
    second = torch.arange(n_images) < share * n_images
    return torch.where(second[:, None], torch.tensor([doubt, 1 - doubt]), torch.tensor([1 - doubt, doubt]))


@given(
    n_images=st.integers(2, 200_000),
    mode=st.sampled_from(["probe", "finetune", "scratch"]),
    device=st.sampled_from(["cpu", "cuda"]),
)
def test_nothing_is_left_open_and_the_result_is_valid(n_images, mode, device):
    if device == "cuda" and not torch.cuda.is_available():
        device = "cpu"
    resolved, choices = resolve(
        TrainingParameters(mode=mode), targets(min(n_images, 500)), torch.device(device)
    )
    assert "auto" not in str(resolved.model_copy(update={"device": "cpu"}))
    assert TrainingParameters.model_validate(resolved.model_dump()) == resolved
    assert resolve(resolved, targets(10), CPU) == (resolved, [])
    assert all(choice.why for choice in choices)


@pytest.mark.parametrize("name", AUTO)
def test_what_the_user_says_stands(name):
    resolved, choices = resolve(TrainingParameters(**{name: AUTO[name]}), targets(1000), CPU)
    assert getattr(resolved, name) == AUTO[name]
    assert name not in {choice.name for choice in choices}


@pytest.mark.parametrize(("precision", "most"), [("float32", 20_000), ("bfloat16", 33_000)])
@pytest.mark.parametrize(("n_images", "moves"), [(40, False), (1000, True), (2000, True), (100_000, False)])
def test_on_a_cpu_the_whole_network_moves_where_that_takes_minutes(n_images, moves, precision, most):
    resolved, _ = resolve(TrainingParameters(precision=precision), targets(n_images), CPU)
    assert (resolved.whole_network_epochs > 0) == moves
    assert (resolved.epochs == 0) == moves
    cost = (1 + resolved.first_size + resolved.first_size**2) / 3  # of an epoch, beside one of full size
    assert n_images * resolved.whole_network_epochs * cost <= most


def test_dozens_of_photos_are_seen_in_many_views():
    few, _ = resolve(TrainingParameters(), targets(40), CPU)
    many, _ = resolve(TrainingParameters(), targets(4000), CPU)
    assert few.augmented_views > many.augmented_views == 0
    assert few.augmentation.strength > many.augmentation.strength > 0


def test_doubtful_labels_are_not_smoothed_again():
    sure, _ = resolve(TrainingParameters(), targets(1000), CPU)
    doubtful, _ = resolve(TrainingParameters(), targets(1000, doubt=0.3), CPU)
    assert sure.loss.label_smoothing > doubtful.loss.label_smoothing == 0


@pytest.mark.parametrize(("share", "method"), [(0.5, "none"), (0.2, "none"), (0.02, "class_weights")])
def test_classes_are_weighed_when_one_is_ten_times_as_large(share, method):
    resolved, _ = resolve(TrainingParameters(), targets(1000, share=share), CPU)
    assert resolved.loss.imbalance == method


def test_a_moving_average_spans_a_tenth_of_the_steps():
    resolved, _ = resolve(TrainingParameters(whole_network_epochs=10), targets(3200), CPU)
    assert 1 / (1 - resolved.ema_decay) == pytest.approx(100, rel=0.02)
    short, _ = resolve(TrainingParameters(whole_network_epochs=1), targets(320), CPU)
    assert short.ema_decay == 0


def test_every_choice_is_logged_with_its_reason(caplog):
    caplog.set_level("INFO")
    _, choices = resolve(TrainingParameters(), targets(100), CPU)
    log_choices(choices)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(choices) >= 10
    for line, choice in zip(lines, choices, strict=True):
        assert line == f"training.{choice.name}: {choice.value}, since {choice.why}"


def test_bfloat16_is_taken_where_the_processor_has_it(monkeypatch):
    for amx, avx512, wanted in ((0, 0, "float32"), (0, 1, "bfloat16"), (1, 0, "bfloat16")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has_it=amx: bool(has_it))
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has_it=avx512: bool(has_it))
        assert default_precision(CPU) == wanted
        assert default_precision(CPU, compiled=True) == "float32"


def test_a_gpu_that_only_emulates_bfloat16_trains_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert default_precision(torch.device("cuda")) == "float32"


def test_a_cpu_that_trains_in_bfloat16_trains_for_more_epochs():
    fast, slow = (
        resolve(TrainingParameters(precision=each), targets(1500), CPU)[0] for each in ("bfloat16", "float32")
    )
    assert fast.whole_network_epochs > slow.whole_network_epochs


@pytest.mark.parametrize(
    "nothing", [{"mode": "scratch"}, {"mode": "finetune", "epochs": 0}], ids=["scratch", "finetune"]
)
def test_a_training_that_trains_nothing_is_refused(nothing):
    with pytest.raises(ValueError, match="trains nothing; use mode: probe, or more epochs"):
        TrainingParameters(**nothing, whole_network_epochs=0)
    TrainingParameters(**nothing, whole_network_epochs=1)


@pytest.mark.parametrize("guard", ["distance_to_start", "feature_distillation"])
def test_random_weights_are_nothing_to_hold_on_to(guard):
    with pytest.raises(ValueError, match=f"{guard}: mode: scratch starts from random weights"):
        TrainingParameters(mode="scratch", **{guard: 0.1})
    TrainingParameters(mode="finetune", **{guard: 0.1})


def test_passes_that_would_all_be_alike_are_refused():
    with pytest.raises(ValueError, match="all passes are alike at dropout: 0"):
        TrainingParameters(dropout=0, calibration={"mc_dropout_passes": 30})
    TrainingParameters(dropout=0.1, calibration={"mc_dropout_passes": 30})


@pytest.mark.parametrize(
    "unused",
    [
        {"costs": {"a": {"b": 2.0}}},
        {"capped_class": "a"},
        {"max_false_positive_rate": 0.01},
        {"decision": "capped_false_positives", "capped_class": "a", "costs": {"a": {"b": 2.0}}},
    ],
)
def test_what_the_decision_does_not_use_is_refused(unused):
    with pytest.raises(ValueError, match="only decision"):
        TrainingParameters(calibration=unused)


def test_a_probe_is_told_no_choice_of_phases_it_does_not_have():
    targets_NK = torch.eye(2).repeat(500, 1)
    _, told = resolve(TrainingParameters(mode="probe"), targets_NK, torch.device("cpu"))
    assert not {"epochs", "whole_network_epochs", "tuned_stages", "learning_rate"} & {
        each.name for each in told
    }
    assert {"augmented_views", "precision"} <= {each.name for each in told}


@pytest.mark.parametrize(("n_images", "is_told"), [(40, True), (1000, False)])
def test_a_probe_is_told_how_strongly_its_views_are_varied(n_images, is_told):
    _, told = resolve(TrainingParameters(mode="probe"), targets(n_images), CPU)
    assert ("augmentation.strength" in {each.name for each in told}) == is_told


def test_scratch_starts_from_nothing_whatever_the_weights():
    photos = photo_set(train=4, validation=2, seed=1)
    recipe = {"backbone": "efficientnet-lite0", "mode": "scratch", "whole_network_epochs": 1}
    made = good_candidate(photos, **recipe, weights="package").classifier
    same = good_candidate(photos, **recipe, weights="none").classifier
    assert made.spec.weights == "none"
    torch.testing.assert_close(made.head.weight, same.head.weight)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mode": "probe", "learning_rate": 0.1}, ["learning_rate"]),
        ({"mode": "probe", "augmentation": {"strength": 0.9}}, ["augmentation"]),
        ({"mode": "probe", "augmentation": {"strength": 0.9}, "augmented_views": 2}, []),
        ({"epochs": 0, "tuned_stages": 2, "probe_epochs": 3}, ["tuned_stages", "probe_epochs"]),
        ({"epochs": 4, "whole_network_epochs": 0, "first_size": 0.5}, ["first_size"]),
        ({"mode": "scratch", "weights": "hub"}, ["weights"]),
        ({"learning_rate": 0.1, "patience": 3, "compile": True}, []),
        ({"mode": "probe", "batch_size": 64}, ["batch_size"]),
        ({"mode": "probe", "batch_size": 512}, []),
        ({"batch_size": 64}, []),
        ({"augmentation": {"strength": 0, "hue": 0.1}}, ["augmentation.hue"]),
        ({"augmentation": {"strength": 0.1, "hue": 0.1}}, []),
        ({"loss": {"mix_share": 0.5}}, ["loss.mix_share"]),
        ({"loss": {"mix_share": 0.5, "cutmix_alpha": 1.0}}, []),
        ({"mode": "probe", "loss": {"mix_share": 0.5, "mixup_alpha": 0.2}}, []),
        (
            {"loss": {"focal_gamma": 3.0, "class_weighting": "effective_number"}},
            ["loss.class_weighting", "loss.focal_gamma"],
        ),
        ({"loss": {"imbalance": "focal", "focal_gamma": 3.0, "cutmix_alpha": 1.0}}, []),
        (
            {"loss": {"imbalance": "class_weights", "effective_number_beta": 0.9}},
            ["loss.effective_number_beta"],
        ),
        ({"loss": {"imbalance": "focal", "logit_adjustment_tau": 0.5}}, ["loss.logit_adjustment_tau"]),
        ({"epochs": 4, "whole_network_epochs": 0, "loss": {"cutmix_alpha": 1.0}}, ["loss.cutmix_alpha"]),
    ],
)
def test_settings_that_nothing_reads_are_named(changes, named):
    given_ = TrainingParameters(**changes)
    assert unread(given_, resolve(given_, targets(1000), CPU)[0]) == named


@pytest.mark.parametrize("n_images", [100, 2000, 100_000])
def test_the_reason_of_the_learning_rate_is_what_happens(n_images):
    for epochs, rate, why in ((0, 1e-3, "everything moves at once"), (4, 3e-4, "the last stages move first")):
        resolved, told = resolve(TrainingParameters(epochs=epochs), targets(n_images), CPU)
        reasons = {choice.name: choice.why for choice in told}
        assert (resolved.learning_rate, reasons["learning_rate"]) == (rate, why)
        assert ("tuned_stages" in reasons) == ("augmented_views" in reasons) == bool(epochs)


@pytest.mark.parametrize(("n_images", "epochs"), [(100, 20), (100_000, 1)])
def test_without_epochs_of_the_last_stages_the_whole_network_trains_however_many_the_photos(n_images, epochs):
    resolved, _ = resolve(TrainingParameters(epochs=0), targets(n_images), CPU)
    assert resolved.whole_network_epochs == epochs
