"""Curves are scikit-learn's scores, and tell of overfitting and of divergence."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn

from photo_sets import TUNED, good_candidate
from visionpipe.errors import VisionpipeError
from visionpipe.models.calibrate import fit_temperature
from visionpipe.models.training.curves import Curves, score


class TestCurves:
    def epochs(self, losses, rises=None, phases=None):
        curves = Curves()
        for position, (train_loss, validation_loss) in enumerate(losses):
            curves.add(
                phase=phases[position] if phases else "a",
                train_loss=train_loss,
                validation_loss=validation_loss,
                rise=rises[position] if rises else 0.0,
            )
        return curves

    @pytest.mark.parametrize(
        ("losses", "rises", "flags"),
        [
            ([(3, 1), (2, 2), (1, 3)], [0, 1.9, 2.1], [False, False, True]),
            ([(3, 1), (2, 2), (1, 1)], [0, 1.9, 0], [False] * 3),  # came down again
            ([(1, 1), (2, 2), (3, 3)], [0, 3, 5], [False] * 3),  # diverges, which is something else
            ([(3, 2), (2, 1), (2.5, 3)], [0, 0, 5], [False] * 3),  # no lower than at the lowest
        ],
    )
    def test_overfitting_is_a_clear_rise_of_the_validation_loss_while_the_training_loss_falls(
        self, losses, rises, flags, caplog
    ):
        assert self.epochs(losses, rises).overfit == flags
        assert ("Epoch 3 overfits" in caplog.text) == flags[-1]

    def test_a_new_phase_is_not_compared_with_the_last(self):
        losses = [(1, 1), (3, 2), (2, 3)]
        assert self.epochs(losses, [0, 0, 5], ["a", "b", "b"]).overfit == [False, False, True]

    def test_why_another_epoch_is_kept_than_the_lowest_of_its_phase(self):
        curves = self.epochs([(3, 0.1), (2, 0.2), (1, 0.3)], phases=["a", "b", "b"])
        curves.improved = [True, True, True]
        said = ", the last within a standard error of the lowest validation loss (0.200, epoch 2)"
        assert curves.why_kept() == said
        curves.improved = [True, True, False]
        assert curves.why_kept() == ""

    def test_a_diverging_loss_stops(self):
        curves = self.epochs([(0.7, 1), (6.5, 1)])
        curves.require_progress(2, "")
        self.epochs([(200, 1), (30, 1)]).require_progress(2, "")  # coming down
        curves = self.epochs([(0.7, 1), (7.5, 1)])
        with pytest.raises(
            VisionpipeError, match=r"it diverges \(loss 7.5 in epoch 2\); lower training\.learning_rate"
        ):
            curves.require_progress(2, "")

    def test_scores_are_those_of_scikit_learn(self):
        chance = torch.Generator().manual_seed(3)
        logits_NK = torch.randn((60, 3), generator=chance)
        labels_N = torch.randint(3, (60,), generator=chance)
        found = score(logits_NK, nn.functional.one_hot(labels_N, 3).float())
        probabilities = logits_NK.double().softmax(1).numpy()
        calibrated = logits_NK.double() / fit_temperature(logits_NK.numpy(), labels_N.numpy())
        assert found.loss == pytest.approx(log_loss(labels_N, calibrated.softmax(1).numpy()), rel=1e-5)
        assert found.auc == pytest.approx(roc_auc_score(labels_N, probabilities, multi_class="ovr"))
        assert found.accuracy == pytest.approx((probabilities.argmax(1) == labels_N.numpy()).mean())

    def test_one_class_has_no_auc(self):
        assert score(torch.randn(4, 2), torch.tensor([[1.0, 0.0]] * 4)).auc is None

    def test_the_fit_of_the_head_tells_of_its_epochs(self, photos):
        candidate = good_candidate(photos, probe_epochs=7)
        head, kept = candidate.training["curves"]["head"], candidate.reference
        assert head["epoch"] == list(range(1, 8))
        assert all(len(values) == 7 for values in head.values())
        assert head["train_loss"][-1] < head["train_loss"][0]
        right = (kept["label"] == kept["predicted_label"]).mean()
        last = max(epoch for epoch, improved in zip(head["epoch"], head["improved"], strict=True) if improved)
        assert head["validation_accuracy"][last - 1] == pytest.approx(right, abs=1e-6)

    def test_saved_curves_hold_no_timings(self, photos):
        candidate = good_candidate(photos, **TUNED)
        assert {"seconds", "images_per_s"} <= candidate.training["curves"].keys() - candidate.curves.keys()
        assert all(value > 0 for value in candidate.training["curves"]["images_per_s"])
