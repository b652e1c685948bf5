"""The epoch that is kept: the latest that validation cannot tell from the best, judged as calibration will leave it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize
from sklearn.metrics import log_loss
from torch.nn import functional

from photo_sets import parameters, photo_set
from visionpipe.models.candidate import train_candidate
from visionpipe.models.training.losses import image_losses
from visionpipe.models.training.selection import Selection, calibrated_losses, unjudged_classes

LOSSES = st.lists(st.floats(0.0, 5.0), min_size=5, max_size=5).map(lambda each: torch.tensor(each).double())


def drawn(n_images=200, n_classes=3, seed=0):
    chance = torch.Generator().manual_seed(seed)
    labels_N = torch.randint(n_classes, (n_images,), generator=chance)
    targets_NK = functional.one_hot(labels_N, n_classes).float()
    return torch.randn((n_images, n_classes), generator=chance) + targets_NK, targets_NK


class TestCalibratedLosses:
    def test_they_are_those_at_the_best_temperature(self):
        """Against scikit-learn's log loss, minimised by another method."""
        logits_NK, targets_NK = drawn()
        logits_NK, labels_N = 3 * logits_NK, targets_NK.argmax(1)

        def loss(log_temperature):
            return log_loss(labels_N, (logits_NK.double() / np.exp(log_temperature[0])).softmax(1))

        found = calibrated_losses(logits_NK, targets_NK)
        assert found.mean().item() == pytest.approx(minimize(loss, [0.0], method="Nelder-Mead").fun, rel=1e-4)

    @pytest.mark.parametrize("factor", [3.0, 8.0])
    def test_being_too_sure_costs_nothing(self, factor):
        logits_NK, targets_NK = drawn()
        plain = calibrated_losses(3 * logits_NK, targets_NK).mean().item()
        assert calibrated_losses(factor * logits_NK, targets_NK).mean().item() == pytest.approx(
            plain, rel=1e-3
        )
        assert image_losses(factor * logits_NK, targets_NK, None).mean().item() > 1.05 * plain

    def test_being_too_unsure_costs(self):
        logits_NK, targets_NK = drawn()
        unsure_NK = 0.2 * logits_NK
        assert torch.equal(
            calibrated_losses(unsure_NK, targets_NK), image_losses(unsure_NK, targets_NK, None)
        )

    def test_of_two_without_a_mistake_the_surer_is_better(self):
        targets_NK = torch.eye(2).repeat(10, 1)
        sure, surer = (calibrated_losses(scale * targets_NK, targets_NK).mean() for scale in (3, 6))
        assert surer < 0.1 * sure

    def test_weights_count(self):
        logits_NK, targets_NK = drawn()
        weights_NK = torch.tensor([10.0, 0.1, 0.1]).expand_as(targets_NK)
        weighted_N = calibrated_losses(logits_NK, targets_NK, weights_NK)
        rare_N = targets_NK[:, 0] == 1
        assert weighted_N[rare_N].sum() / weighted_N.sum() > 0.9

    def test_what_is_no_number_stays_none(self):
        logits_NK, targets_NK = drawn()
        logits_NK[3, 1] = torch.nan
        assert calibrated_losses(logits_NK, targets_NK).isnan().any()


class TestSelection:
    def epochs(self, *rises, n_images=100, before=None):
        """Offer epochs that differ from the first by `rises` in the mean, with a standard error of 0.1."""
        spread_N = torch.linspace(-1, 1, n_images).double()
        spread_N = spread_N / spread_N.std() * n_images**0.5 * 0.1
        selection = Selection()
        if before is not None:
            selection.start(torch.full((n_images,), before).double())
        signs = [1 if number % 2 else -1 for number in range(len(rises))]
        first_N = torch.full((n_images,), 3.0).double()
        offers = [
            first_N + rise + (sign * spread_N if rise else 0) for rise, sign in zip(rises, signs, strict=True)
        ]
        return [selection.offer(each) for each in offers]

    def test_a_later_epoch_within_a_standard_error_of_the_lowest_is_kept(self):
        assert self.epochs(0.0, 0.09) == [True, True]
        assert self.epochs(0.0, 0.11) == [True, False]

    def test_the_rise_is_told_in_standard_errors(self):
        selection, chance = Selection(), torch.Generator().manual_seed(5)
        first_N, later_N = torch.rand((2, 50), generator=chance, dtype=torch.double)
        later_N += 1
        rises = []
        for losses_N in (first_N, later_N, first_N, first_N - 1):
            selection.offer(losses_N)
            rises.append(selection.rise)
        assert rises == pytest.approx([0, stats.ttest_rel(later_N, first_N).statistic, 0, 0])

    def test_errors_do_not_add_up_from_epoch_to_epoch(self):
        assert self.epochs(0.0, 0.07, 0.09, 0.13) == [True, True, True, False]

    def test_a_lower_loss_is_always_kept(self):
        assert self.epochs(0.0, 0.2, -0.01) == [True, False, True]

    def test_without_an_error_only_the_lowest_counts(self):
        selection = Selection()
        means = [1.0, 0.5, 0.6, 0.4, 0.41]
        assert [selection.offer(torch.full((8,), mean)) for mean in means] == [True, True, False, True, False]

    def test_nothing_is_kept_that_is_worse_than_before(self):
        assert self.epochs(0.0, 0.05, -0.2, -0.15, before=3.0) == [False, False, True, True]

    def test_one_image_has_no_error(self):
        selection = Selection()
        assert [selection.offer(torch.tensor([loss])) for loss in (1.0, 1.1, 0.9)] == [True, False, True]

    @given(st.lists(LOSSES, min_size=1, max_size=6), st.none() | LOSSES)
    def test_what_is_kept_is_within_a_standard_error_of_the_lowest(self, epochs, before):
        selection, kept = Selection(), None
        if before is not None:
            selection.start(before)
            kept = before
        for losses_N in epochs:
            kept = losses_N if selection.offer(losses_N) else kept
        assert kept is not None
        lowest_N = selection.lowest_N
        means = [each.mean() for each in ([] if before is None else [before]) + epochs]
        assert lowest_N.mean() == min(means)
        rise_N = kept - lowest_N
        assert rise_N.mean() <= rise_N.std() / len(rise_N) ** 0.5 + 1e-12
        assert before is None or kept.mean() <= before.mean()


class TestUnjudgedClasses:
    def test_they_are_those_of_training_images_alone(self):
        targets_NK = torch.tensor([[0.9, 0.1, 0, 0], [0.2, 0.8, 0, 0], [0, 0, 1, 0]])
        held_out_NK = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
        assert unjudged_classes(targets_NK, held_out_NK) == [1, 2]
        assert unjudged_classes(held_out_NK, held_out_NK) == []

    @given(epochs=st.lists(LOSSES, min_size=1, max_size=8))
    def test_who_knows_too_little_to_choose_keeps_every_epoch(self, epochs):
        selection = Selection(judges=False)
        selection.start(torch.zeros(5).double())
        assert all(selection.offer(losses_N) for losses_N in epochs)

    @pytest.mark.parametrize("mode", ["finetune", "scratch"])
    def test_a_training_without_validation_images_of_a_class_keeps_its_last_epoch(self, mode, caplog):
        caplog.set_level("INFO")
        photos = photo_set(train=8, validation=4)
        manifest = photos.manifest.query("split != 'validation' or label != 'red'")
        epochs = {"epochs": 3} if mode == "finetune" else {"whole_network_epochs": 3}
        recipe = parameters(backbone="timm/test_resnet", weights="none", mode=mode, patience=1, **epochs)
        made = train_candidate(manifest, photos.prepared(64), recipe)
        assert made.training["kept_epoch"] == len(made.curves["epoch"]) == 3
        assert (made.training["unjudged_classes"], made.training["n_validation_images"]) == (["red"], 4)
        assert "No validation image of red: none can choose an epoch then" in caplog.text
        assert "Epoch 3 of 3 is kept" in caplog.text
        assert ("Random layers are frozen" in caplog.text) == (mode == "finetune")
        assert not any(made.curves["overfit"])
        assert "the weights from before are kept" not in caplog.text
