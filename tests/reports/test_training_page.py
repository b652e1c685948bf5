"""The page on a training says what was kept, when it overfitted, what moved and why the recipe is what it is."""

import copy

import pytest

from visionpipe.reports.training_page import training_page


def test_it_says_first_which_epoch_was_kept_and_when_overfitting_began(training, parse):
    text = parse(training_page(training)).text
    assert (
        "candidate of this run Epoch 6 of 8 was kept From epoch 7 on it learned the training images by heart"
        in text
    )
    assert "Validation loss 0.410 training 0.135" in text
    assert "Validation accuracy 0.998" in text
    assert "Time 1 min 42 s" in text


def test_it_says_when_the_training_began_and_which_weights_it_made(training, parse):
    told = training | {"started_at": "2026-02-03T10:20:30+00:00"}
    told["model"] = training["model"] | {"weights_sha256": "0123456789abcdef" * 4}
    text = parse(training_page(told)).text
    assert "Training started 2026-02-03 10:20 UTC · candidate of this run" in text
    assert "Weights (SHA-256) 0123456789ab…" in text


def test_the_epoch_that_training_itself_kept_wins_over_the_lowest_loss(training, parse):
    text = parse(training_page(training | {"kept_epoch": 4})).text
    assert "Epoch 4 of 8 was kept" in text
    assert "Validation loss 0.440" in text


def test_classes_that_no_validation_image_is_of_are_named(training, parse):
    told = training | {"n_validation_images": 16, "unjudged_classes": ["hat", "skirt"]}
    text = parse(training_page(told)).text
    assert (
        "No validation image is of hat, skirt, so none could choose an epoch, and the last one was kept."
        in text
    )
    assert "of 16 images" in text


def test_without_overfitting_it_says_so_only_if_it_was_watched_for(training, parse):
    training["curves"]["overfit"] = [False] * 8
    assert "No sign of overfitting" in parse(training_page(training)).text
    del training["curves"]["overfit"]
    text = parse(training_page(training)).text
    assert "verfitting" not in text
    assert "by heart" not in text


def test_a_loss_that_rose_before_the_kept_epoch_came_down_again(training, parse):
    training["curves"]["overfit"] = [number == 3 for number in range(1, 9)]
    text = parse(training_page(training)).text
    assert "by heart" not in text
    assert "No sign of overfitting" in text


def test_every_phase_has_its_row(training, parse):
    text = parse(training_page(training)).text
    rows = [
        "Head 2 0.610 0.01 0.4 s 9,050",
        "Last stages 4 0.410 0.0003 26 s 306",
        "Whole network 2 0.460 2e−05 1 min 17 s 52",
    ]
    table = text[text.index("Images a second") :]
    places = [table.index(row) for row in rows]
    assert places == sorted(places)


def test_what_moved_is_counted(training, parse):
    text = parse(training_page(training)).text
    assert "73.4 % 2,752,562 of 3,752,562" in text
    assert "stages 0-3 Frozen 1,000,000 stages 4-9 Moved 2,750,000 head Moved 2,562" in text


def test_every_choice_of_the_recipe_has_its_reason(training, parse):
    text = parse(training_page(training)).text
    assert "training.epochs 12 1,968 images are few training.ema_decay 0.99 492 steps" in text


@pytest.mark.parametrize("part", ["curves", "model", "moved", "recipe", "demo_notice"])
def test_any_part_may_be_missing_none_or_empty(part, training):
    given = training.pop(part)
    without = training_page(training)
    assert training_page(training | {part: None}) == without
    assert training_page(training | {part: type(given)()}) == without
    assert len(training_page(training | {part: given})) > len(without)


def test_a_probe_without_epochs_is_still_a_page(parse):
    page = parse(training_page({"curves": {"epoch": [], "train_loss": []}, "model": {"epochs": 0}}))
    assert "Only a new head was trained" in page.text
    assert not page.all("img")
    assert "Nothing was recorded" in parse(training_page({})).text


def test_what_came_down_again_is_not_marked_as_overfitting(training, parse):
    curves = training["curves"] | {"overfit": [False, False, True, False, False, False, False, False]}
    text = parse(training_page(training | {"curves": curves, "kept_epoch": 8})).text
    assert "No sign of overfitting" in text
    clean = training["curves"] | {"overfit": [False] * 8}
    assert training_page(training | {"curves": curves, "kept_epoch": 8}) == training_page(
        training | {"curves": clean, "kept_epoch": 8}
    )


HEAD = {
    "epoch": [1, 2, 3],
    "phase": ["head"] * 3,
    "train_loss": [0.7, 0.4, 0.3],
    "validation_loss": [0.6, 0.5, 0.55],
    "validation_accuracy": [0.5, 0.83, 0.84],
    "seconds": [0.25] * 3,
    "improved": [True, True, False],
}


def test_a_probe_shows_how_its_head_was_fitted(parse):
    model = {"epochs": 0, "trained_stages": "head", "weights": "packaged"}
    page = parse(training_page({"curves": {"epoch": [], "head": HEAD}, "model": model}))
    assert "Only a new head was trained" in page.text
    assert "the head of epoch 2 of 3 was kept" in page.text
    assert "Trained head, from packaged weights" in page.text and "0 epochs" not in page.text
    assert "Validation accuracy 0.83" in page.text
    assert len(page.all("img")) == 1
    assert "Bands" not in page.text


def test_where_no_epoch_improved_the_figures_are_those_of_the_head_that_stays(training, parse):
    curves = training["curves"] | {"head": HEAD, "overfit": [False] * 8}
    text = parse(training_page(training | {"curves": curves, "kept_epoch": None})).text
    assert "None of the 8 epochs improved on the start" in text
    assert "the new head, of epoch 2 of its fit, on the backbone as it was" in text
    assert "Validation accuracy 0.83" in text


def test_the_head_before_other_phases_is_one_of_them(training, parse):
    alone = parse(training_page(training))
    page = parse(training_page(training | {"curves": training["curves"] | {"head": HEAD}}))
    assert "Head 3 0.5" in page.text
    assert "Head 3" not in alone.text
    assert page.all("h1") == alone.all("h1")


def test_curves_of_an_older_model_are_drawn(training, parse):
    """Models of earlier versions have neither phases nor throughput."""
    old = {"epoch": [1, 2], "train_loss": [0.5, 0.4], "validation_loss": [0.6, 0.5], "learning_rate": [1, 0]}
    page = parse(training_page({"curves": old}))
    assert "Epoch 2 of 2 was kept" in page.text
    assert len(page.all("img")) == 1
    assert not page.all("table")


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"]
)
def test_text_from_data_is_escaped(text, training, parse):
    training |= {"demo_notice": text, "classes": [text], "model": {"backbone": text, "trained_stages": text}}
    training["moved"][0]["part"] = text
    training["recipe"][0] |= {"name": text, "value": text, "why": text}
    training["curves"]["phase"] = [text] * 8
    page = parse(training_page(training))
    assert not page.all("script")
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert page.text.count(text) == 9


def test_the_input_is_left_as_it_was(training):
    before = copy.deepcopy(training)
    training_page(training)
    assert repr(training) == repr(before)
