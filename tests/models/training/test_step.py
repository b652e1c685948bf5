"""A step does what its parameters say, in any number of micro-batches."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from torch import nn
from torch._inductor import config as inductor

from photo_sets import parameters
from visionpipe.errors import VisionpipeError
from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.training import depthwise
from visionpipe.models.training.distributed import SOLO, Team
from visionpipe.models.training.losses import build_loss
from visionpipe.models.training.memory import TeamOutOfMemoryError
from visionpipe.models.training.recipe import resolve
from visionpipe.models.training.step import Draw, Step, copy_of_start
from visionpipe.models.training.tail import Tail, make_optimiser

BATCH = 8


def network_of(backbone):
    torch.manual_seed(0)
    spec = ModelSpec(backbone=backbone, weights="none", classes=["a", "b"], image_size_px=32)
    return ImageClassifier(spec, build_backbone(backbone, "none", 32)).eval()


@pytest.fixture(scope="module")
def network():
    return network_of("timm/test_resnet")


@pytest.fixture
def batch():
    chance = torch.Generator().manual_seed(1)
    return torch.rand((BATCH, 3, 32, 32), generator=chance), torch.rand((BATCH, 2), generator=chance).softmax(
        1
    )


def stepping(network, team=SOLO, **changes):
    """Return a step on a copy of the network, and its tail."""
    recipe, _ = resolve(
        parameters(batch_size=BATCH, learning_rate=1e-3, **changes), torch.ones(9, 2), torch.device("cpu")
    )
    classifier = copy.deepcopy(network).requires_grad_(True)
    start = copy_of_start(classifier.stages, recipe)
    tail = Tail(classifier, 0)
    criterion = build_loss(recipe.loss, torch.ones(2))
    return Step(tail, make_optimiser(tail, recipe), criterion, recipe, team, start, cuts=True), tail


def draw():
    return Draw(torch.Generator().manual_seed(2), torch.Generator().manual_seed(3))


def stepped(network, batch, steps=1, **changes):
    step, tail = stepping(network, **changes)
    for _ in range(steps):
        loss = step.take(*batch, BATCH, draw())
    return tail, loss


def distance(one, other):
    pairs = zip(one.stages.parameters(), other.stages.parameters(), strict=True)
    return sum((a - b).square().sum().item() for a, b in pairs)


def forgetful(step, monkeypatch, most):
    """Make the network run out of memory at more than so many images, as torch says it."""
    seen, forward = [], step._called.forward

    def limited(activations, kept):
        seen.append(len(activations))
        if len(activations) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(activations, kept)

    monkeypatch.setattr(step._called, "forward", limited)
    return seen


class TestOutOfMemory:
    @pytest.mark.parametrize("loss", [{}, {"imbalance": "class_weights"}, {"imbalance": "focal"}])
    def test_smaller_micro_batches_take_the_same_step(self, network, batch, monkeypatch, caplog, loss):
        whole, whole_loss = stepped(network, batch, loss=loss)
        step, tail = stepping(network, loss=loss)
        seen = forgetful(step, monkeypatch, most=3)
        loss_value = step.take(*batch, BATCH, draw())
        assert seen == [8, 4, 2, 2, 2, 2]
        assert "2 at a time" in caplog.text
        assert "training.batch_size stays what it is" in caplog.text
        torch.testing.assert_close(loss_value, whole_loss)
        for a, b in zip(tail.parameters(), whole.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-4)  # Adam divides by the root of tiny squares
        step.take(*batch, BATCH, draw())
        assert seen[6:] == [2, 2, 2, 2]  # it has learned

    def test_when_one_image_is_too_much_it_says_what_to_do(self, network, batch, monkeypatch):
        step, _ = stepping(network)
        forgetful(step, monkeypatch, most=0)
        with pytest.raises(VisionpipeError, match=r"a single image .* training\.image_size_px"):
            step.take(*batch, BATCH, draw())

    @pytest.mark.parametrize(("n_images", "most", "seen"), [(8, 2, [8, 4, 2, 2, 2, 2]), (5, 3, [5, 3, 2])])
    def test_batch_normalisation_that_learns_is_never_fed_one_image(
        self, network, batch, monkeypatch, n_images, most, seen
    ):
        step, tail = stepping(network)
        tail.train()
        found = forgetful(step, monkeypatch, most)
        step.take(*(tensor[:n_images] for tensor in batch), n_images, draw())
        assert found == seen

    @pytest.mark.parametrize("n_images", [8, 5, 3])
    def test_when_two_images_are_too_much_for_it_it_says_what_to_do(
        self, network, batch, monkeypatch, n_images
    ):
        step, tail = stepping(network)
        tail.train()
        found = forgetful(step, monkeypatch, most=1)
        with pytest.raises(VisionpipeError, match=r"the 2 images of batch normalisation .*image_size_px"):
            step.take(*(tensor[:n_images] for tensor in batch), n_images, draw())
        assert min(found) >= 2

    def test_other_networks_learn_from_one_image_at_a_time(self, batch, monkeypatch):
        step, tail = stepping(network_of("timm/test_vit"))
        tail.train()
        found = forgetful(step, monkeypatch, most=1)
        step.take(*batch, BATCH, draw())
        assert found == [8, 4, 2] + [1] * 8

    def test_what_the_cpu_says_counts_too_and_other_errors_do_not(self, network, batch, monkeypatch):
        step, _ = stepping(network)
        forward = step._called.forward
        for error, halved in (
            (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
            (MemoryError(), True),
            (RuntimeError("shapes differ"), False),
        ):
            failed = []

            def failing(activations, kept, error=error, failed=failed):
                if not failed:
                    failed.append(1)
                    raise error
                return forward(activations, kept)

            step.micro_batch.size = BATCH
            monkeypatch.setattr(step._called, "forward", failing)
            if halved:
                step.take(*batch, BATCH, draw())
                assert step.micro_batch.size == BATCH // 2
            else:
                with pytest.raises(RuntimeError, match="shapes differ"):
                    step.take(*batch, BATCH, draw())

    def test_one_of_several_processes_cannot_halve_alone(self, network, batch, monkeypatch):
        monkeypatch.setattr(Team, "wrap", lambda _, module: module)
        step, _ = stepping(network, team=Team(0, 2))
        forgetful(step, monkeypatch, most=1)
        with pytest.raises(TeamOutOfMemoryError, match="at 4 images at once") as caught:
            step.take(batch[0][:4], batch[1][:4], BATCH, draw())
        assert caught.value.n_images == 4

    @pytest.mark.parametrize("n_all", [5, 7, 8])
    @pytest.mark.parametrize("at_once", [1, 2, 3])
    def test_several_processes_cut_their_shares_into_as_many_parts(
        self, network, batch, monkeypatch, n_all, at_once
    ):
        """Each part's gradients are averaged over the processes: one that had fewer would keep the others waiting."""
        monkeypatch.setattr(Team, "wrap", lambda _, module: module)
        parts = []
        for team in (Team(rank, 2, micro_batch=at_once) for rank in range(2)):
            step, _ = stepping(network, team=team)
            seen = forgetful(step, monkeypatch, most=BATCH)
            step.take(*(team.share(tensor[:n_all]) for tensor in batch), n_all, draw())
            parts.append(seen)
        assert len(parts[0]) == len(parts[1])
        assert max(map(max, parts)) <= at_once + (n_all % 2)
        assert [sum(seen) for seen in parts] == [n_all // 2, n_all - n_all // 2]


class TestAgainstForgetting:
    def test_distance_to_start_is_the_gradient_of_half_the_squared_distance(
        self, network, batch, monkeypatch
    ):
        found = []
        monkeypatch.setattr(
            nn.utils, "clip_grad_norm_", lambda weights, _: found.extend(w.grad.clone() for w in weights)
        )
        step, tail = stepping(network, distance_to_start=0.3, dropout=0.0, loss={"label_smoothing": 0.0})
        with torch.no_grad():
            for weight in tail.stages.parameters():
                weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)))
        reference, start = copy.deepcopy(tail), list(network.stages.parameters())
        step.take(*batch, BATCH, draw())
        loss = nn.functional.cross_entropy(reference(batch[0])[0], batch[1])
        penalty = sum(
            (w - s.detach()).square().sum() for w, s in zip(reference.stages.parameters(), start, strict=True)
        )
        (loss + 0.3 / 2 * penalty).backward()
        for gradient, weight in zip(found, reference.parameters(), strict=True):
            torch.testing.assert_close(gradient, weight.grad, rtol=1e-3, atol=1e-5)

    def test_weights_stay_nearer_to_the_start(self, network, batch):
        free, _ = stepped(network, batch, steps=10)
        held, _ = stepped(network, batch, steps=10, distance_to_start=100.0)
        assert distance(held, network) < 0.9 * distance(free, network)

    def test_features_stay_nearer_to_those_of_the_start(self, network, batch):
        def moved(tail):
            with torch.no_grad():
                return (tail(batch[0])[1] - network.run_stages(batch[0], 0)).square().mean().item()

        free, _ = stepped(network, batch, steps=10)
        held, loss = stepped(network, batch, steps=10, feature_distillation=100.0)
        assert moved(held) < 0.5 * moved(free)
        assert loss < 5  # the penalty is not reported as loss

    def test_without_them_no_copy_is_kept(self, network):
        assert copy_of_start(network.stages, parameters()) is None


class TestOptions:
    def test_dropout_drops(self, network, batch):
        losses = {rate: stepped(network, batch, dropout=rate)[1].item() for rate in (0.0, 0.5)}
        assert losses[0.0] != losses[0.5]

    def test_mixing_mixes(self, network, batch):
        plain = stepped(network, batch)[1].item()
        for alpha in ("mixup_alpha", "cutmix_alpha"):
            assert stepped(network, batch, loss={alpha: 1.0})[1].item() != plain

    def test_compile_compiles_what_is_called(self, network, batch, monkeypatch):
        compiled = []
        monkeypatch.setattr(torch, "compile", lambda module: compiled.append(module) or module)
        stepped(network, batch)
        assert compiled == []
        tail, _ = stepped(network, batch, compile=True)
        assert compiled == [tail]

    @pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU")
    def test_a_compiled_step_is_the_same_step(self, network, batch):
        plain, loss = stepped(network, batch)
        compiled, its_loss = stepped(network, batch, compile=True)
        torch.testing.assert_close(its_loss, loss, rtol=1e-5, atol=1e-6)
        for weight, wanted in zip(compiled.parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(weight, wanted, rtol=1e-3, atol=1e-5)

    def test_what_cannot_be_compiled_is_a_clear_error(self, network, batch, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # nothing compiled before helps out
        torch.compiler.reset()
        with (
            inductor.patch({"cpp.cxx": ("no-such-compiler",)}),
            pytest.raises(VisionpipeError, match=r"no-such-compiler.*; set training\.compile to false"),
        ):
            stepped(network, batch, compile=True)

    def test_what_a_network_itself_raises_is_quoted(self, network, batch):
        misfit = copy.deepcopy(network)
        misfit.stages.insert(0, nn.Flatten())
        with pytest.raises(VisionpipeError, match=r"here \(.*[Ee]xpected.*input.*\); set training\.compile"):
            stepped(misfit, batch, compile=True)

    @pytest.mark.parametrize(
        ("changes", "ours"), [({}, True), ({"compile": True}, False), ({"precision": "float32"}, False)]
    )
    def test_gradients_of_depthwise_convolutions_are_ours_in_bfloat16(
        self, batch, monkeypatch, changes, ours
    ):
        monkeypatch.setattr(torch, "compile", lambda module: module)
        found, own = [], depthwise.weight_gradient
        monkeypatch.setattr(depthwise, "weight_gradient", lambda *given: found.append(given) or own(*given))
        stepped(network_of("timm/test_efficientnet"), batch, **({"precision": "bfloat16"} | changes))
        assert bool(found) == ours

    @pytest.mark.parametrize(
        ("precision", "wanted"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
    )
    def test_precision_is_that_of_the_forward_pass(self, network, batch, monkeypatch, precision, wanted):
        step, tail = stepping(network, precision=precision)
        seen = []
        tail.head.register_forward_hook(lambda _, __, logits: seen.append(logits.dtype))
        step.take(*batch, BATCH, draw())
        assert seen == [wanted]
