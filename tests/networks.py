"""Whole networks, to compare backbones with."""

from __future__ import annotations

import torch


def run_stages(backbone, images_NCHW):
    """Run a backbone's stages one after the other."""
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
