"""A poor photo is kept, named or kept out, as the user chooses rule by rule."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import ValidationError

from photo_files import encode, picture
from project_copy import ROOT
from visionpipe.errors import VisionpipeError
from visionpipe.images.inspect import Inspection, Refusal, inspect_photo
from visionpipe.images.parameters import MANDATORY_RULES, IngestionParameters, RuleParameters
from visionpipe.images.privacy import PrivacyParameters


def shade(grey: int, noise: int = 3) -> Image.Image:
    """Draw a photo of one brightness, with a little noise."""
    values = np.random.default_rng(0).normal(grey, noise, (300, 300))
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def stripes(dark: int, bright: int) -> Image.Image:
    return Image.fromarray(np.tile(np.array([[dark], [bright]], dtype=np.uint8), (200, 400)))


def smooth() -> Image.Image:
    return Image.fromarray(np.tile(np.linspace(0, 255, 300), (300, 1)).astype(np.uint8))


POOR = {
    "blank": Image.new("RGB", (64, 64), "blue"),
    "aspect": picture(1, 500, 60),
    "dark": shade(12),
    "bright": shade(243),
    "clipped_dark": Image.fromarray(np.kron([[0, 0], [0, 200]], np.ones((96, 96))).astype(np.uint8)),
    "clipped_bright": Image.fromarray(np.kron([[255, 255], [255, 20]], np.ones((96, 96))).astype(np.uint8)),
    "blurred": smooth(),
    "low_entropy": stripes(60, 190),
    "too_small": picture(1, 100, 20),
}


def look(image: Image.Image, **rules: dict) -> Inspection | Refusal:
    return inspect_photo(encode(image, "PNG"), IngestionParameters(rules=rules))[1]


@pytest.mark.parametrize("rule", POOR)
def test_each_rule_flags_keeps_out_or_says_nothing_as_the_user_chooses(rule):
    flagged = look(POOR[rule], **{rule: {"action": "flag"}})
    refused = look(POOR[rule], **{rule: {"action": "quarantine"}})
    ignored = look(POOR[rule], **{rule: {"action": "ignore"}})
    assert isinstance(flagged, Inspection)
    assert rule in flagged.flags
    assert isinstance(refused, Refusal)
    assert refused.reason == rule
    assert isinstance(ignored, Inspection)
    assert rule not in ignored.flags


@pytest.mark.parametrize("rule", POOR)
def test_a_photo_that_is_kept_out_names_its_value_the_limit_and_the_parameter(rule):
    refused = look(POOR[rule], **{rule: {"action": "quarantine"}})
    parameter = "ingestion.min_side_px" if rule == "too_small" else f"ingestion.rules.{rule}.limit"
    assert parameter in refused.detail
    assert len([word for word in refused.detail.replace(",", " ").split() if word[0].isdigit()]) >= 2


def test_poor_photos_are_flagged_and_useless_ones_kept_out_unless_the_user_says_otherwise():
    usual = {rule: getattr(RuleParameters(), rule).action for rule in POOR}
    assert {rule for rule, action in usual.items() if action == "quarantine"} == {"blank", "too_small"}
    assert {rule for rule, action in usual.items() if action == "flag"} == set(POOR) - {"blank", "too_small"}


def test_a_good_photo_has_no_flags():
    assert look(picture(3, 400, 300)).flags == ()


@pytest.mark.parametrize(
    "rule", ["dark", "bright", "aspect", "blurred", "low_entropy", "clipped_dark", "clipped_bright"]
)
def test_a_rule_breaks_at_its_limit_and_not_before(rule):
    seen = look(POOR[rule])
    value = {
        "dark": seen.brightness,
        "bright": seen.brightness,
        "aspect": seen.width / seen.height,
        "blurred": seen.sharpness,
        "low_entropy": seen.entropy,
        "clipped_dark": 0.75,
        "clipped_bright": 0.75,
    }[rule]
    step = 1e-3 if rule in {"dark", "blurred", "low_entropy"} else -1e-3
    assert rule in look(POOR[rule], **{rule: {"limit": value + step}}).flags
    assert rule not in look(POOR[rule], **{rule: {"limit": value - step}}).flags


@pytest.mark.parametrize("rule", MANDATORY_RULES)
@pytest.mark.parametrize("action", ["flag", "ignore"])
def test_what_cannot_be_used_cannot_be_flagged(rule, action):
    with pytest.raises(ValidationError, match=rf"rules\.{rule}.*only be quarantine"):
        IngestionParameters(rules={rule: {"action": action}})
    IngestionParameters(rules={rule: {"action": "quarantine"}})


def test_a_rule_that_does_not_exist_is_an_error():
    with pytest.raises(ValidationError, match="darkk"):
        IngestionParameters(rules={"darkk": {"limit": 3}})


def test_a_limit_alone_keeps_the_action_and_an_action_alone_the_limit():
    rules = RuleParameters.model_validate({"blank": {"limit": 3}, "dark": {"action": "ignore"}})
    assert (rules.blank.limit, rules.blank.action) == (3, "quarantine")
    assert (rules.dark.limit, rules.dark.action) == (RuleParameters().dark.limit, "ignore")


def test_the_shipped_parameters_are_those_of_the_code():
    shipped = yaml.safe_load((ROOT / "conf/base/parameters_ingestion.yml").read_text())["ingestion"]
    assert IngestionParameters.model_validate(shipped) == IngestionParameters()


@pytest.mark.parametrize(
    "change",
    [
        {"rules": {"dark": {"limit": 21}}},
        {"rules": {"dark": {"action": "quarantine"}}},
        {"formats": ("JPEG",)},
        {"min_side_px": 8},
        {"max_bytes": 1},
        {"worker_memory_mb": 512},
        {"file_timeout_s": 5},
        {"near_duplicates": False},
        {"labels": {"tie": "quarantine"}},
        {"privacy": {"strip_metadata": False}},
        {"privacy": {"blur_faces": True}},
        {"split": {"test": 0.3}},
    ],
)
def test_refused_files_are_looked_at_again_when_what_decides_on_them_changes(change):
    assert IngestionParameters(**change).limits_key != IngestionParameters().limits_key


@pytest.mark.parametrize(
    "change",
    [
        {"workers": 3},
        {"chunk_images": 3},
        {"chunk_bytes": 3},
        {"scheduler": "tcp://here:8786"},
        {"privacy": {"purpose": "sorting", "informed": "the staff"}},
    ],
)
def test_what_changes_no_file_makes_none_be_looked_at_again(change):
    assert IngestionParameters(**change).limits_key == IngestionParameters().limits_key


def test_a_source_with_people_is_refused_in_one_line_until_the_record_is_complete():
    incomplete = PrivacyParameters(purpose="sorting", retention=" ")
    with pytest.raises(VisionpipeError) as refused:
        incomplete.require_for(["staff", "visitors"])
    message = str(refused.value)
    assert "\n" not in message
    assert "staff, visitors" in message
    for key in ("lawful_basis", "retention", "informed"):
        assert f"ingestion.privacy.{key}" in message
    assert "privacy.purpose" not in message
    incomplete.require_for([])
    PrivacyParameters(purpose="a", lawful_basis="b", retention="c", informed="d").require_for(["staff"])


@pytest.mark.parametrize("collection", ["clothing", "elpv"])
def test_fewer_than_one_good_photo_in_a_hundred_is_flagged_by_any_rule(collection, request):
    folder = request.getfixturevalue(collection)
    files = sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".png"})[::7]
    flags = [inspect_photo(path.read_bytes(), IngestionParameters())[1].flags for path in files]
    assert len(flags) > 250
    for rule in RuleParameters.model_fields:
        assert sum(rule in names for names in flags) < len(flags) / 100
