"""Who said what: votes, and the images they disagree about."""

import json

import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from visionpipe.quality.parameters import AgreementParameters
from visionpipe.quality.votes import latest_votes, list_disagreements, measure_agreement, vote_counts

DAY = pd.Timestamp("2026-01-01", tz="UTC")
ALONE = pd.DataFrame({"image_id": [], "group_id": []})  # no image has near-duplicates
COLUMNS = ["image_id", "label", "annotator", "origin", "labelled_at"]


def history(*rows):
    """Build a label history of `(image, label, annotator, origin, day)`; the last two may be left out."""
    full = [(*row, *("import", 0)[len(row) - 3 :]) for row in rows]
    table = pd.DataFrame(full, columns=COLUMNS)
    return table.assign(
        labelled_at=DAY + pd.to_timedelta(table["labelled_at"], unit="D"),
        label_confidence=1.0,
        selection=None,
    )


def places(*ids):
    return pd.DataFrame({"image_id": ids, "source": "plant", "path": [f"{each}.jpg" for each in ids]})


def test_the_newest_vote_of_an_annotator_counts_and_decrees_are_no_votes():
    votes = latest_votes(
        history(
            ("1", "cat", "ann", "review", 2),
            ("1", "dog", "ann", "review", 1),
            ("1", "dog", "bob", "review", 1),
            ("1", "cow", "eve", "correction", 3),
            ("1", "cow", "eve", "adjudication", 4),
        )
    )
    assert votes.to_dict("records") == [
        {"image_id": "1", "annotator": "ann", "label": "cat"},
        {"image_id": "1", "annotator": "bob", "label": "dog"},
    ]


def test_of_what_a_reviewer_said_at_one_time_the_row_appended_later_counts():
    for labels in (("cat", "dog"), ("dog", "cat")):
        votes = latest_votes(history(*(("1", label, "ann", "review", 1) for label in labels)))
        assert votes["label"].tolist() == [labels[-1]]


def test_only_images_with_two_votes_are_counted():
    counts_NK, ids, classes = vote_counts(
        latest_votes(
            history(("1", "a", "x"), ("1", "b", "y"), ("2", "b", "x"), ("3", "b", "x"), ("3", "b", "z"))
        )
    )
    assert (counts_NK.tolist(), ids, classes) == ([[1, 1], [0, 2]], ["1", "3"], ["a", "b"])


def test_imports_of_several_annotators_are_votes_and_pairs_are_compared():
    said = {"x": "aabbabbb", "y": "aabbbbba", "z": "ab"}
    rows = [(str(place), label, who) for who, labels in said.items() for place, label in enumerate(labels)]
    alpha, fleiss, first, *others = measure_agreement(history(*rows), ALONE, AgreementParameters())
    assert (alpha.statistic, alpha.n_images) == ("krippendorff_alpha", 8)
    assert (fleiss.statistic, fleiss.n_images) == ("fleiss_kappa", 6)  # two votes are commoner than three
    assert first.annotators == ("x", "y")  # the pair with most images in common comes first
    assert first.estimate == pytest.approx(cohen_kappa_score(list(said["x"]), list(said["y"])))
    assert [other.annotators for other in others] == [("x", "z"), ("y", "z")]


def test_the_photos_of_a_burst_are_one_piece_of_evidence_for_each_measure():
    """A burst of fifty that two annotators call differently, and fifty photos that nobody knows a group of."""
    label_of = {str(place): "ab"[place % 2] for place in range(100)}
    rows = [(image, label, "x") for image, label in label_of.items()]
    rows += [(image, "a" if int(image) < 50 else label, "y") for image, label in label_of.items()]
    rows += [(image, label, "z") for image, label in label_of.items()]
    burst = pd.DataFrame({"image_id": [str(place) for place in range(50)], "group_id": "burst"})
    for one, apart in zip(
        measure_agreement(history(*rows), burst, AgreementParameters()),
        measure_agreement(history(*rows), ALONE, AgreementParameters()),
        strict=True,
    ):
        assert one.estimate == pytest.approx(apart.estimate) and (one.n_images, one.n_groups) == (100, 51)
        assert apart.n_groups == 100
        assert one.low < apart.low or one.annotators == ("x", "z")  # those two never disagree


def test_with_one_annotator_there_is_a_reason_and_no_number():
    (alpha,) = measure_agreement(history(("1", "a", "x"), ("2", "b", "x")), ALONE, AgreementParameters())
    assert alpha.estimate is None and "two annotators" in alpha.reason


def test_every_image_that_is_disagreed_about_is_listed_with_who_said_what():
    table = history(("1", "a", "x"), ("1", "b", "y"), ("2", "a", "x"), ("2", "a", "y"), ("3", "b", "x"))
    (listed,) = list_disagreements(table, places("1", "2", "3"))
    assert listed == {
        "image_id": "1",
        "source": "plant",
        "path": "1.jpg",
        "claims": [
            {"annotator": "x", "label": "a", "origin": "import"},
            {"annotator": "y", "label": "b", "origin": "import"},
        ],
        "label": "a",
        "settled": False,
    }
    assert json.loads(json.dumps(listed)) == listed


def test_the_same_bytes_in_two_class_folders_contradict_each_other_though_one_importer_said_both():
    table = history(("1", "a", "folder"), ("1", "b", "folder"))
    assert len(list_disagreements(table, places("1"))) == 1


def test_a_claim_without_a_name_is_listed_in_a_way_that_json_takes():
    table = history(("1", "a", "x"), ("1", "b", None))
    (listed,) = list_disagreements(table, places("1").assign(path=None))
    assert json.loads(json.dumps(listed, allow_nan=False)) == listed
    assert [claim["annotator"] for claim in listed["claims"]] == ["x", None]


@pytest.mark.parametrize(
    ("more", "settled"),
    [
        ([("1", "b", "eve", "correction", 3)], True),
        ([("1", "b", "eve", "adjudication", 3)], True),
        ([("1", "a", "z", "review", 1), ("1", "a", "w", "review", 1)], True),
        ([("1", "a", "z", "review", 1), ("1", "b", "w", "review", 1)], False),
    ],
)
def test_a_disagreement_is_settled_by_whoever_has_the_last_word(more, settled):
    table = history(("1", "a", "x"), ("1", "b", "y"), ("2", "a", "x"), ("2", "b", "y"), *more)
    listed = list_disagreements(table, places("1", "2"))
    assert {each["image_id"]: each["settled"] for each in listed} == {"1": settled, "2": False}
    assert listed[0]["settled"] is False  # what needs somebody comes first


def test_neither_the_order_of_rows_nor_a_place_that_is_unknown_matters():
    table = history(("1", "a", "x"), ("1", "b", "y"), ("2", "b", "x"), ("2", "a", "y"))
    shuffled = table.iloc[::-1].reset_index(drop=True)
    assert list_disagreements(table, places("1")) == list_disagreements(shuffled, places("1"))
    assert list_disagreements(table, places("1"))[0]["path"] is None
    parameters = AgreementParameters()
    assert measure_agreement(table, ALONE, parameters) == measure_agreement(shuffled, ALONE, parameters)


def test_nothing_changes_the_tables_given():
    table, where = history(("1", "a", "x"), ("1", "b", "y")), places("1")
    before = table.copy(), where.copy()
    list_disagreements(table, where)
    measure_agreement(table, ALONE, AgreementParameters())
    pd.testing.assert_frame_equal(table, before[0])
    pd.testing.assert_frame_equal(where, before[1])


def test_each_contradiction_of_the_clothing_photos_is_listed(clothing):
    """Its folders and its table are two annotators; counted independently, by set difference of (image, label)."""
    table = pd.read_csv(clothing / "images.csv")
    folder_of = {file.stem: file.parent.name for file in clothing.glob("*/*.jpg")}
    rows = [(image, folder, "folder") for image, folder in folder_of.items()]
    rows += [
        (image, label.lower(), "table") for image, label in zip(table["image"], table["label"], strict=True)
    ]
    listed = list_disagreements(history(*rows), places(*folder_of))
    claimed = {(image, label) for image, label, _ in rows}
    assert len(claimed) - len(folder_of) == len(listed) == 15
    assert {each["image_id"] for each in listed} == {
        image
        for image, folder in folder_of.items()
        if len({label for name, label in claimed if name == image}) > 1
    }
    alpha, kappa = measure_agreement(history(*rows), ALONE, AgreementParameters())
    assert kappa.estimate == pytest.approx(
        cohen_kappa_score(
            [folder_of[image] for image in sorted(folder_of)],
            table.set_index("image")["label"].str.lower()[sorted(folder_of)].tolist(),
        )
    )
    assert alpha.low < alpha.estimate < alpha.high
