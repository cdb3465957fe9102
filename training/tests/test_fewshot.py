"""Few labelled people, on made-up hands."""
import json

import pytest

from jointlens_training import fewshot, pretrain


@pytest.fixture(scope="module")
def knobs(folders, bundle):
    root = folders["root"] / "few-shot"
    pretrain.pretrain(pretrain.Knobs(data=str(folders["train"]), out=str(root / "pretrained"), healthy_only=False, epochs=1, batch=16, width=32))
    return fewshot.Knobs(data=str(folders["train"]), test=str(folders["test"]), pretrained=str(root / "pretrained" / "encoders.pt"), out=str(root),
                         people="2,5", fractions="0.5", seeds="1,2", steps=4, fraction_epochs=1, results=str(root / "results"),
                         fraction_data=str(folders["train"]), fraction_test=str(folders["test"]), bundle=str(bundle), tune_steps=4)


def test_every_number_of_people_is_learned_from_in_every_way_and_the_mean_is_of_the_seeds(knobs):
    made = fewshot.few_shot(knobs)
    assert [row["people"] for row in made["fewShot"]] == [2, 5] and [row["people"] for row in made["labelFractions"]] == [12]
    kept = [json.loads((fewshot.Path(knobs.out) / f"few-5-{seed}-scratch.json").read_text())["auroc"] for seed in (1, 2)]
    assert made["fewShot"][1]["scratch"] == pytest.approx(sum(kept) / 2) and made["fewShot"][1]["seeds"] == 2
    text = (fewshot.Path(knobs.results) / "few-shot.md").read_text()
    assert "Bar: pretrained" in text and "Computer-made hands only" in text
    assert made["fewShot"][0]["pretrained"] > 0.8  # the bundle knows these colours already
    assert made["fewShot"][0]["untuned"] == made["fewShot"][1]["untuned"] > 0.8 and made["fewShot"][0]["range"]["untuned"][0] == made["fewShot"][0]["range"]["untuned"][1]
    assert "pretrained" not in made["labelFractions"][0] and made["labelFractions"][0]["unlabelled"] > 0


def test_what_was_measured_is_not_measured_again_unless_the_recipe_differs(knobs, monkeypatch):
    fewshot.few_shot(knobs)
    monkeypatch.setattr(fewshot, "learn", lambda *_: pytest.fail("measured again"))
    fewshot.few_shot(knobs)
    with pytest.raises(pytest.fail.Exception):
        fewshot.few_shot(fewshot.replace(knobs, steps=5))


def test_bars_of_few_people_are_said_as_they_are():
    row = lambda people, pretrained, scratch: {"people": people, "seeds": 1, "untuned": 0.5, "pretrained": pretrained, "scratch": scratch, "frozen": 0.5, "unlabelled": 0.5,
                                               "range": {start: [0.5, 0.6] for start in fewshot.STARTS["few"]}}
    made = {"sets": {"few": {"test": {"patients": 3}, "data": {"positiveRate": 0.4}}}, "scale": "tiny", "command": "x", "labelFractions": [], "fewShot": [row(2, 0.7, 0.55), row(5, 0.6, 0.65)]}
    text = fewshot.report(made)
    assert "never below scratch: **not reached** at [5] people" in text and "by 0.10: **not reached** at [5] people" in text
    made["fewShot"] = [row(2, 0.7, 0.55), row(5, 0.75, 0.65), row(20, 0.8, 0.8)]
    assert "never below scratch: reached" in fewshot.report(made) and "by 0.10: reached" in fewshot.report(made)
