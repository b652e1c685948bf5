"""Features are what the classifier's own backbone makes of an image, in the order asked for."""

import numpy as np
import torch

from photo_sets import parameters, photo_set
from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.features import pooled_features, stored_features


def test_features_are_those_that_training_starts_from():
    recipe = parameters()
    pixels_NHWC = photo_set(train=6).prepared(recipe.image_size_px).pixels_NHWC
    spec = ModelSpec(
        backbone=recipe.backbone,
        weights=recipe.weights,
        classes=["a", "b"],
        image_size_px=recipe.image_size_px,
    )
    backbone = build_backbone(recipe.backbone, recipe.weights, recipe.image_size_px)
    classifier = ImageClassifier(spec, backbone).eval()
    with torch.inference_mode():
        _, expected_ND = classifier(torch.from_numpy(np.array(pixels_NHWC)))
    found_ND = pooled_features([pixels_NHWC[:5], pixels_NHWC[5:]], recipe)
    assert found_ND.shape == (len(pixels_NHWC), 1280) and found_ND.dtype == np.float32
    np.testing.assert_allclose(found_ND, expected_ND.numpy(), rtol=1e-3, atol=1e-4)


def test_stored_images_keep_the_order_asked_for():
    photos, recipe = photo_set(train=5), parameters()
    prepared = photos.prepared(recipe.image_size_px)
    image_ids = list(reversed(prepared.image_ids))
    found_ND = stored_features(image_ids, photos.read, recipe)
    expected_ND = pooled_features([prepared.pixels_NHWC], recipe)[prepared.rows(image_ids)]
    np.testing.assert_allclose(found_ND, expected_ND, rtol=1e-3, atol=1e-4)


def test_features_go_on_with_what_fits_when_memory_runs_out(monkeypatch):
    recipe = parameters()
    pixels_NHWC = photo_set(train=6).prepared(recipe.image_size_px).pixels_NHWC
    whole_ND, normalise, sizes = pooled_features([pixels_NHWC], recipe), ImageClassifier.normalise, []

    def short_of_memory(self, pixels):
        sizes.append(len(pixels))
        if len(pixels) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return normalise(self, pixels)

    monkeypatch.setattr(ImageClassifier, "normalise", short_of_memory)
    found_ND = pooled_features([pixels_NHWC], recipe)
    np.testing.assert_allclose(found_ND, whole_ND, rtol=1e-3, atol=1e-4)
    assert sum(size > 4 for size in sizes) == 1


def test_no_image_has_no_features():
    assert pooled_features([], parameters()).shape == (0, 1280)
