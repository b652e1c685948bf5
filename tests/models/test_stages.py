"""However a network is written, its stages in order give what it gives, whatever its weights become."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from visionpipe.models.stages import cut

SIZE_PX = 16


def images(seed: int = 1) -> torch.Tensor:
    return torch.randn(3, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(seed))


def run(stages, activations):
    with torch.no_grad():
        for stage in stages:
            activations = stage(activations)
    return activations.flatten(1)


def assert_same(network, stages, n_features):
    with torch.no_grad():
        expected_ND = network(images()).flatten(1)
    assert expected_ND.shape[1] == n_features
    torch.testing.assert_close(run(stages, images()), expected_ND)


def block(n_in=4, n_out=4):
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True))


STEPS = {
    "nothing": lambda x: x,
    "relu": functional.relu,
    "relu in place": lambda x: functional.relu(x, inplace=True),
    "square": torch.square,  # one that is not known
}
ENDS = {
    "mean": lambda x: x.mean((2, 3)),
    "flatten": lambda x: x.flatten(1),
    "relu, pool": lambda x: functional.adaptive_avg_pool2d(functional.relu(x), 1),
}


class Written(nn.Module):
    """A convolutional network whose forward does things between its blocks."""

    def __init__(self, steps, end, width=4):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3)
        self.blocks = nn.ModuleList(block(width, width) for _ in steps)
        self.steps, self.end = steps, end

    def forward(self, activations):
        activations = self.stem(activations)
        for step, inner in zip(self.steps, self.blocks, strict=True):
            activations = inner(STEPS[step](activations))
        return ENDS[self.end](activations)


@settings(max_examples=40)
@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5),
    end=st.sampled_from(sorted(ENDS)),
    width=st.integers(1, 6),
    seed=st.integers(0, 2**16),
)
def test_whatever_stands_between_the_blocks_the_stages_give_the_same(steps, end, width, seed):
    torch.manual_seed(seed)
    network = Written(steps, end, width).eval()
    stages, n_features = cut(copy.deepcopy(network), SIZE_PX)
    assert_same(network, stages, n_features)
    weights = list(nn.ModuleList(stages).parameters())
    assert len({id(weight) for weight in weights}) == len(weights) == len(list(network.parameters()))


def weighted(stages):
    return sum(any(True for _ in stage.parameters()) for stage in stages)


def test_what_is_not_known_runs_in_the_networks_own_code_and_the_rest_is_cut():
    stages, _ = cut(Written(["relu", "square", "nothing", "relu", "nothing"], "mean").eval(), SIZE_PX)
    assert weighted(stages) == 5  # the network up to the square, and the four blocks after it


def test_known_steps_cost_no_stage():
    stages, _ = cut(Written(["nothing", "relu", "relu in place"], "relu, pool").eval(), SIZE_PX)
    assert weighted(stages) == 4
    assert isinstance(stages[0], nn.Conv2d)


class TestWeightsThatStartAtZero:
    """A relu after a branch that still gives nothing looks like no relu."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = block()[:2]
            nn.init.zeros_(self.inner[1].weight)

        def forward(self, activations):
            return activations + self.inner(activations)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = block(3)
            self.blocks = nn.ModuleList(TestWeightsThatStartAtZero.Residual() for _ in range(3))

        def forward(self, activations):
            activations = self.stem(activations)
            for inner in self.blocks:
                activations = functional.relu(inner(activations))
            return activations.mean((2, 3))

    def test_they_are_cut_where_they_are_cut_later(self):
        new, trained = self.Network().eval(), self.Network().eval()
        with torch.no_grad():
            for weight in trained.parameters():
                weight.normal_(generator=torch.Generator().manual_seed(3))
        stages, n_features = cut(copy.deepcopy(new), SIZE_PX)
        of_trained, _ = cut(copy.deepcopy(trained), SIZE_PX)
        stages.load_state_dict(of_trained.state_dict())
        assert_same(trained, stages, n_features)


def test_a_network_is_taken_apart_as_it_is(tmp_path):
    """The probe draws other weights: none of them may stay."""
    network = Written(["nothing", "relu"], "mean").eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    stages, _ = cut(network, SIZE_PX)
    after = stages.state_dict()
    assert len(after) == len(before)
    for tensor in before.values():
        assert any(tensor.shape == other.shape and torch.equal(tensor, other) for other in after.values())


class Inquisitive(Written):
    """Asks a block that has been moved out of it."""

    def forward(self, activations):
        assert self.blocks[1][0].padding == (1, 1)
        return super().forward(activations)


class Tuples(nn.Module):
    """Hands pairs from block to block."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.ModuleList(block() for _ in range(4))
        self.head = nn.Linear(4, 5)

    def forward(self, activations):
        pair = (self.stem(activations), 1)
        for inner in self.blocks:
            pair = torch.square(inner(pair[0])), pair[1] + 1
        return self.head(pair[0].mean((2, 3)))


class Blind(Written):
    """Gives features that say nothing of the image, whatever its weights are."""

    def forward(self, activations):
        return functional.relu(super().forward(activations)) * 0


class Faint(nn.Sequential):
    """Gives features that differ so little from image to image that the probe could not tell a wrong cut."""

    class Last(nn.Module):
        def forward(self, activations):
            return 1 + 1e-3 * activations.mean((2, 3)).tanh()

    def __init__(self):
        super().__init__(block(3), block(), block(), self.Last())


@pytest.mark.parametrize(
    "network",
    [
        Inquisitive(["square", "nothing", "nothing", "nothing"], "mean"),
        Tuples(),
        Blind(["nothing"] * 4, "mean"),
        Faint(),
    ],
)
def test_a_network_that_cannot_be_cut_stays_whole(network):
    expected = copy.deepcopy(network.eval())
    stages, n_features = cut(network, SIZE_PX)
    assert list(stages) == [network]
    assert_same(expected, stages, n_features)


class Transformer(nn.Module):
    """Position and class token in front, a norm behind, all weights in one child."""

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.position = nn.Parameter(torch.zeros(1, 17, 8))
            self.layers = nn.Sequential(
                *(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(4))
            )
            self.norm = nn.LayerNorm(8)

        def forward(self, tokens_BTD):
            return self.norm(self.layers(tokens_BTD + self.position))

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))
        self.encoder = self.Encoder()

    def forward(self, images_NCHW):
        tokens_BTD = self.patches(images_NCHW).flatten(2).transpose(1, 2)
        tokens_BTD = torch.cat([self.token.expand(len(tokens_BTD), -1, -1), tokens_BTD], dim=1)
        return self.encoder(tokens_BTD)[:, 0]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_transformer_is_cut_into_its_layers():
    network = Transformer().eval()
    stages, n_features = cut(copy.deepcopy(network), SIZE_PX)
    assert_same(network, stages, n_features)
    assert weighted(stages) == 1 + 4 + 1  # patches with position, layers, norm


class Deep(nn.Module):
    """Its activations grow from block to block, and late among them something small is added."""

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = block()

        def forward(self, activations):
            return activations + 100 * self.inner(activations)

    def __init__(self):
        super().__init__()
        self.stem = block(3)
        self.blocks = nn.ModuleList(self.Residual() for _ in range(20))
        self.added = nn.Parameter(torch.zeros(1, 4, SIZE_PX, SIZE_PX))

    def forward(self, activations):
        activations = self.stem(activations)
        for number, inner in enumerate(self.blocks):
            activations = inner(activations + self.added if number == 15 else activations)
        return activations.mean((2, 3))


def test_what_is_added_between_blocks_is_seen_however_large_they_are():
    network = Deep().eval()
    stages, n_features = cut(copy.deepcopy(network), SIZE_PX)
    assert sum(weight.shape == network.added.shape for weight in stages.parameters()) == 1
    assert weighted(stages) == 1 + 5  # everything up to the addition, and the blocks after it
    assert_same(network, stages, n_features)


def test_the_first_stage_can_be_frozen_while_the_others_learn():
    stages, _ = cut(Transformer().train(), SIZE_PX)
    stages[0].requires_grad_(False)
    activations = images()
    for stage in stages:
        activations = stage(activations)
    activations.sum().backward()
    moves = [any(weight.grad is not None for weight in stage.parameters()) for stage in stages]
    assert not moves[0]
    assert all(moves[1:5])
