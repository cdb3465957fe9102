"""What the model card tells of hands that the model was not made for."""
import pytest

from jointlens_training.card import elsewhere, meshes_of, stopping_words


def test_false_alarms_in_real_photographs_stand_in_the_card():
    [text, _] = elsewhere({"transferAuroc": 0.7451, "transferFalseAlarms": 0.741, "scales": {"transfer": "implants: 0.745, 72 hands of 3 people"}})
    assert "0.745 at the lowest (implants: 0.745, 72 hands of 3 people)" in text
    assert "**Expect false alarms in real photographs**: of joints without swelling in untouched ones 74% are flagged" in text


def test_what_was_not_measured_is_not_told():
    assert elsewhere({"transferAuroc": None, "transferFalseAlarms": None}) == []


def test_a_network_that_nothing_was_learned_into_says_so():
    assert stopping_words({"stopped": 2, "stoppedInFolds": [1, 0]}).startswith("It learned for 2 epochs, the networks that were judged in the folds for 1, 0;")
    said = stopping_words({"stopped": 0, "stoppedInFolds": [7, 0]})
    assert said.startswith("It is the network it started from, unchanged") and said.endswith("in the folds learned for 7, 0 epochs.")


@pytest.mark.parametrize("training,words", [
    ({}, "one hand mesh (webxr)"),
    ({"meshes": ["makehuman", "webxr"], "editions": [1]}, "2 kinds of hand mesh (makehuman, webxr)"),
    ({"meshes": ["makehuman", "webxr"], "editions": [1, 2]}, "2 kinds of hand mesh (makehuman, webxr, edition 2)"),
])
def test_what_hands_were_made_from_is_said_with_the_edition_of_the_generator(training, words):
    assert meshes_of(training) == words
