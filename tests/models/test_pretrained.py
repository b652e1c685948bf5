"""Weights come from a file or a hub's cache, never with code in them, or it is said what to do."""

from __future__ import annotations

import socket

import pytest
import torch
from safetensors.torch import save_file

from networks import features_it_classifies, run_stages, whole_network
from visionpipe.errors import VisionpipeError
from visionpipe.models.backbones import build_backbone


class TestWeightsFiles:
    def test_a_file_of_either_format_is_read(self, tmp_path):
        network = whole_network("timm/test_resnet")
        save_file(network.state_dict(), tmp_path / "whole.safetensors")
        torch.save(network.state_dict(), tmp_path / "whole.pth")
        images_NCHW = torch.rand(1, 3, 64, 64)
        from_each = [
            run_stages(build_backbone("timm/test_resnet", str(tmp_path / name), 64), images_NCHW)
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
    @pytest.mark.parametrize(
        "data",
        [
            *(b"", b"no weights at all", b"hello, this is no model\n", b"<html>", b"PK\x03\x04junk"),
            *(
                b"\x80\x02" + bytes(50),
                b"\x80\x02.",
                b"\x80\x02\x85.",
                b"\x80\x02X\xff\xff",
                b"\x80\x02K\x01K\x02s.",
            ),
        ],
    )
    def test_a_damaged_file_is_refused_in_one_line(self, name, data, tmp_path):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(VisionpipeError, match=name) as refused:
            build_backbone("timm/test_resnet", str(tmp_path / name), 64)
        assert "\n" not in str(refused.value)

    @pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
    def test_a_file_for_which_memory_is_too_small_is_not_called_damaged(self, name, tmp_path, monkeypatch):
        def too_large(*_, **__):
            raise MemoryError

        (tmp_path / name).touch()
        monkeypatch.setattr(torch, "load", too_large)
        monkeypatch.setattr("safetensors.torch.load_file", too_large)
        with pytest.raises(VisionpipeError, match=rf"{name} cannot be read: MemoryError"):
            build_backbone("timm/test_resnet", str(tmp_path / name), 64)

    @pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
    def test_a_checkpoint_of_a_training_script_is_unwrapped(self, key, tmp_path):
        state, images_NCHW = whole_network("timm/test_resnet").state_dict(), torch.rand(1, 3, 64, 64)
        torch.save({"epoch": 3, key: state, "optimizer": {}}, tmp_path / "checkpoint.pth")
        torch.save(state, tmp_path / "plain.pth")
        from_each = [
            run_stages(build_backbone("timm/test_resnet", str(tmp_path / name), 64), images_NCHW)
            for name in ("checkpoint.pth", "plain.pth")
        ]
        assert torch.equal(*from_each)

    def test_weights_that_are_no_numbers_are_refused(self, tmp_path):
        state = whole_network("timm/test_resnet").state_dict()
        next(iter(state.values())).view(-1)[3] = float("nan")
        save_file(state, tmp_path / "w.safetensors")
        with pytest.raises(VisionpipeError, match=r"w\.safetensors holds weights that are no finite numbers"):
            build_backbone("timm/test_resnet", str(tmp_path / "w.safetensors"), 64)

    def test_what_another_network_lacks_is_named(self, tmp_path):
        state = whole_network("timm/test_resnet").state_dict()
        first = next(iter(state))
        del state[first]
        save_file(state, tmp_path / "w.safetensors")
        with pytest.raises(
            VisionpipeError, match=rf"not hold the weights of .* \(Missing key.*{first}"
        ) as told:
            build_backbone("timm/test_resnet", str(tmp_path / "w.safetensors"), 64)
        assert "\n" not in str(told.value)

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
            run_stages(build_backbone("timm/test_resnet", "hub", 64), images_NCHW), expected_ND
        )

    def test_cached_torchvision_weights_need_no_network(self, no_network):
        network = whole_network("torchvision/resnet18")
        self.torchvision_cache(no_network, network.state_dict())
        images_NCHW = torch.rand(1, 3, 64, 64)
        expected_ND = features_it_classifies(network, network.fc, images_NCHW)
        torch.testing.assert_close(
            run_stages(build_backbone("torchvision/resnet18", "hub", 64), images_NCHW), expected_ND
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
