"""One small network of every family: the right shapes, and gradients in every stage."""

from __future__ import annotations

import warnings

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional

from networks import run_stages
from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec

# with the least side that its architecture takes
QUICK = {
    "timm/cpubone_nano": 32,
    "timm/cs3darknet_focus_s": 32,
    "timm/cspnext_tiny": 32,
    "timm/dla46x_c": 32,
    "timm/efficientvim_m1": 32,
    "timm/efficientvit_b0": 32,
    "timm/efficientvit_m0": 64,
    "timm/ese_vovnet19b_slim_dw": 32,
    "timm/fasternet_t0": 32,
    "timm/fastvit_t8": 32,
    "timm/ghostnet_050": 32,
    "timm/hardcorenas_b": 32,
    "timm/hgnetv2_b0": 32,
    "timm/iformer_t": 32,
    "timm/inception_next_atto": 32,
    "timm/lcnetv2_small": 32,
    "timm/levit_128s": 224,
    "timm/lowformer_b0": 32,
    "timm/mobilenetv3_small_050": 32,
    "timm/mobilevit_xxs": 32,
    "timm/poolformerv2_s12": 32,
    "timm/pvt_v2_b0": 32,
    "timm/regnetx_002": 32,
    "timm/repghostnet_050": 32,
    "timm/resnest14d": 32,
    "timm/resnetv2_18": 32,
    "timm/rexnet_100": 32,
    "timm/starnet_s050": 32,
    "timm/swiftformer_xs": 32,
    "timm/test_byobnet": 32,
    "timm/test_coatnet": 160,
    "timm/test_convnext": 32,
    "timm/test_efficientnet": 32,
    "timm/test_mambaout": 32,
    "timm/test_nfnet": 32,
    "timm/test_resnet": 32,
    "timm/test_vit": 32,
    "timm/test_vit_relpos": 160,
    "timm/vit_tiny_patch16_dinov3_qkvb": 32,
    "timm/xcit_nano_12_p8_224": 32,
    "torchvision/efficientnet_b0": 32,
    "torchvision/mnasnet0_5": 32,
    "torchvision/mobilenet_v2": 32,
    "torchvision/mobilenet_v3_small": 32,
    "torchvision/shufflenet_v2_x0_5": 32,
    "torchvision/squeezenet1_1": 32,
}
SLOW = {
    "timm/beit_base_patch16_224": 224,
    "timm/cait_xxs24_224": 224,
    "timm/coat_tiny": 224,
    "timm/convit_tiny": 224,
    "timm/convmixer_768_32": 32,
    "timm/crossvit_tiny_240": 32,
    "timm/csatv2": 64,
    "timm/davit_tiny": 32,
    "timm/deit_tiny_patch16_224": 224,
    "timm/densenet121": 32,
    "timm/dpn48b": 32,
    "timm/edgenext_xx_small": 32,
    "timm/efficientformer_l1": 224,
    "timm/efficientformerv2_s0": 224,
    "timm/focalnet_tiny_srf": 32,
    "timm/gcvit_xxtiny": 224,
    "timm/gemma4_vit_167m": 64,
    "timm/gmlp_ti16_224": 224,
    "timm/halonet_h1": 256,
    "timm/hiera_tiny_224": 224,
    "timm/hrnet_w18_small": 32,
    "timm/inception_resnet_v2": 96,
    "timm/inception_v3": 96,
    "timm/inception_v4": 96,
    "timm/legacy_seresnet18": 32,
    "timm/legacy_xception": 32,
    "timm/mobilenetv5_base": 32,
    "timm/mvitv2_tiny": 32,
    "timm/naflexvit_base_patch16_parfac_gap": 32,
    "timm/nasnetalarge": 32,
    "timm/nest_tiny": 224,
    "timm/nextvit_small": 32,
    "timm/pit_ti_224": 224,
    "timm/pnasnet5large": 32,
    "timm/qwen3_vit_88m": 32,
    "timm/rdnet_tiny": 32,
    "timm/repvit_m1": 32,
    "timm/res2next50": 32,
    "timm/sam2_hiera_tiny": 32,
    "timm/samvit_base_patch16_224": 32,
    "timm/selecsls42": 32,
    "timm/sequencer2d_s": 32,
    "timm/shvit_s1": 32,
    "timm/skresnet18": 32,
    "timm/swin_tiny_patch4_window7_224": 224,
    "timm/swinv2_cr_tiny_224": 224,
    "timm/swinv2_tiny_window8_256": 256,
    "timm/tiny_vit_5m_224": 32,
    "timm/tnt_s_legacy_patch16_224": 224,
    "timm/tresnet_m": 32,
    "timm/twins_svt_small": 32,
    "timm/vgg11": 32,
    "timm/visformer_tiny": 224,
    "timm/vit_tiny_r_s16_p8_224": 224,
    "timm/vitamin_small_224": 224,
    "timm/volo_d1_224": 224,
    "timm/xception41p": 32,
    "torchvision/alexnet": 64,
    "torchvision/convnext_tiny": 32,
    "torchvision/densenet121": 32,
    "torchvision/efficientnet_v2_s": 32,
    "torchvision/googlenet": 32,
    "torchvision/inception_v3": 96,
    "torchvision/maxvit_t": 224,
    "torchvision/regnet_x_400mf": 32,
    "torchvision/resnet18": 32,
    "torchvision/swin_t": 32,
    "torchvision/swin_v2_t": 32,
    "torchvision/vgg11": 32,
    "torchvision/vit_b_32": 224,
}

WHOLE = {
    # blocks that hand several tensors on, or are called with more than the activations
    "timm/efficientvim_m1",
    "timm/mvitv2_tiny",
    "timm/pit_ti_224",
    "timm/cait_xxs24_224",
    "timm/coat_tiny",
    "timm/crossvit_tiny_240",
    "timm/tnt_s_legacy_patch16_224",
    "timm/twins_svt_small",
    "timm/vit_tiny_patch16_dinov3_qkvb",
    "timm/mobilenetv5_base",
    "timm/naflexvit_base_patch16_parfac_gap",
    "timm/nasnetalarge",
    "timm/pnasnet5large",
    "timm/qwen3_vit_88m",
    "timm/gemma4_vit_167m",
}
TOO_LARGE = {"deepseek_vit"}  # its smallest has 412 million weights
UNUSED_WEIGHTS = {"timm/efficientvim_m1"}  # timm gives it a parameter that its forward does not read

DROPS_WITHIN = {"torchvision/alexnet", "torchvision/vgg11"}  # between linear layers of their own


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_network_of_this_family_gives_logits_and_gradients(name):
    size_px = (QUICK | SLOW)[name]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what libraries say of their own code
        backbone = build_backbone(name, "none", size_px)
    spec = ModelSpec(backbone=name, weights="none", classes=["a", "b", "c"], image_size_px=size_px)
    classifier = ImageClassifier(spec, backbone).eval()
    logits_NK, features_ND = classifier(torch.randint(0, 256, (2, size_px, size_px, 3), dtype=torch.uint8))
    assert logits_NK.shape == (2, 3)
    assert features_ND.shape == (2, backbone.n_features)
    functional.cross_entropy(logits_NK, torch.tensor([0, 2])).backward()
    gradients = {path: weight.grad for path, weight in classifier.named_parameters()}
    absent = [path for path, gradient in gradients.items() if gradient is None]
    assert len(absent) == (name in UNUSED_WEIGHTS)
    assert all(gradient.isfinite().all() for gradient in gradients.values() if gradient is not None)
    for stage in classifier.stages:
        weights = list(stage.parameters())
        assert not weights or any(weight.grad is not None and weight.grad.any() for weight in weights)
    assert (len(classifier.stages) == 1) == (name in WHOLE)


@pytest.mark.parametrize(
    "name",
    [
        *sorted(name for name in QUICK if name.startswith("torchvision/")),
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW if name.startswith("torchvision/")),
        "timm/rexnet_100",
    ],
)
def test_features_are_dropped_by_the_recipe_alone(name):
    """A library's own dropout before its classifier would drop them a second time, whatever `training.dropout` is."""
    size_px = (QUICK | SLOW)[name]
    backbone = build_backbone(name, "none", size_px)
    images_NCHW = torch.rand((2, 3, size_px, size_px), generator=torch.Generator().manual_seed(0))
    expected_ND = run_stages(backbone, images_NCHW)
    assert (expected_ND[0] != expected_ND[1]).any()
    for layer in backbone.stages.modules():
        layer.training = isinstance(layer, nn.Dropout)
    torch.manual_seed(0)
    is_dropped = bool((run_stages(backbone, images_NCHW) != expected_ND).any())
    assert is_dropped == (name in DROPS_WITHIN)


def test_no_family_of_timm_is_left_out():
    names = {name.removeprefix("timm/") for name in QUICK | SLOW}
    tried = {family for family in timm.list_modules() if names & set(timm.list_models(module=family))}
    assert tried | TOO_LARGE == set(timm.list_modules())


def test_no_family_of_torchvision_is_left_out():
    """Networks of one family differ in size only, and share the module that they are written in."""
    builders = torchvision.models.list_models(module=torchvision.models)
    families = {torchvision.models.get_model_builder(name).__module__ for name in builders}
    tried = {
        torchvision.models.get_model_builder(name.partition("/")[2]).__module__
        for name in QUICK | SLOW
        if "torchvision/" in name
    }
    assert tried == families
