"""The comparison on made-up hands: what is trained, what is kept, what the table says."""
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from jointlens_training import compare, pretrain
from jointlens_training.crops import load_crops
from jointlens_training.evaluate import Scored
from jointlens_training.retrain import balanced_weights
from jointlens_training.train import load_model


@pytest.fixture(scope="module")
def compared(folders, bundle):
    root = folders["root"] / "compare"
    pretrain.pretrain(pretrain.Knobs(data=str(folders["train"]), out=str(root / "pretrained"), healthy_only=False, epochs=1, batch=16, width=32))
    knobs = compare.Knobs(bundle=str(bundle), bundled=str(folders["train"]), clinic=str(folders["train"]), balanced=str(folders["train"]), calibration=str(folders["calibration"]), test=str(folders["test"]),
                          pretrained=str(root / "pretrained" / "encoders.pt"), out=str(root), balanced_epochs=2, bundled_epochs=1, repeats=40, results=str(root / "results"),
                          only=",".join([f"balanced/{arm}" for arm in ("local-scratch", "global-scratch", "both-scratch", "method", "retrained", "shuffled")] + [f"bundled/{arm}" for arm in compare.BASELINES]))
    return knobs, compare.compare(knobs)


def test_the_table_holds_every_row_that_was_trained_and_names_the_others(compared):
    knobs, made = compared
    rows = made["settings"]["balanced"]["rows"]
    assert {compare.OURS, compare.HONEST, *compare.SINGLE_BRANCHES, "always negative", "B2 fold features, logistic",
            "B3 frozen pretrained features, ridge", "control: shuffled labels", "M, classifier retrained"} <= set(rows)
    text = (compare.Path(knobs.results) / "comparison.md").read_text()
    assert "M, fusion mix (balanced)" in text.split("Not run yet:")[1]
    assert "Computer-made hands only" in text


def test_summary_fields_are_differences_of_the_rows(compared):
    _, made = compared
    rows, deltas = made["settings"]["bundled"]["rows"], made["deltas"]
    best = max(rows[name]["f1"]["value"] for name in compare.SINGLE_BRANCHES)
    assert deltas["deltaF1SingleBranch"] == pytest.approx(rows[compare.OURS]["f1"]["value"] - best)
    assert deltas["deltaAuprcTuned"]["mean"] == pytest.approx(rows[compare.OURS]["auprc"]["value"] - rows[compare.HONEST]["auprc"]["value"])
    assert deltas["deltaF1Tuned"]["low"] <= deltas["deltaF1Tuned"]["mean"] <= deltas["deltaF1Tuned"]["high"]
    assert compare.bars({})["deltaF1Tuned"] is None


def test_a_finished_arm_is_not_trained_again_and_another_recipe_is_refused(compared):
    knobs, made = compared
    at = compare.folder(knobs, "balanced", "method") / "model.pt"
    before = at.stat().st_mtime_ns
    compare.train_arm(knobs, "balanced", "method")
    assert at.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="differs in epochs"):
        compare.train_arm(replace(knobs, balanced_epochs=3), "balanced", "method")


def test_an_arm_of_another_machine_is_its_scores_alone(compared, tmp_path):
    knobs, made = compared
    there, here = (compare.folder(replace(knobs, out=out), "balanced", "local-scratch") for out in (knobs.out, str(tmp_path)))
    here.mkdir(parents=True)
    shutil.copy(there / "scores.npz", here)
    again = compare.compare(replace(knobs, out=str(tmp_path), only="balanced/local-scratch", results=str(tmp_path / "results")))
    row = compare.SINGLE_BRANCHES[0]
    assert again["settings"]["balanced"]["rows"][row]["auroc"] == made["settings"]["balanced"]["rows"][row]["auroc"]
    assert not (here / "model.pt").exists()
    with pytest.raises(ValueError, match="differs in lr"):
        compare.train_arm(replace(knobs, out=str(tmp_path), lr=0.1), "balanced", "local-scratch")
    with pytest.raises(ValueError, match="or its network beside it"):
        compare.scores_of(replace(knobs, out=str(tmp_path), test=knobs.calibration), "balanced", "local-scratch", None, None)


def test_a_new_classifier_leaves_the_encoders_as_they_were(compared):
    knobs, _ = compared
    old, new = (load_model(compare.folder(knobs, "balanced", arm) / "model.pt")[0].state_dict() for arm in ("method", "retrained"))
    assert torch.equal(old["local.stem.0.weight"], new["local.stem.0.weight"])
    assert not torch.equal(old["head.2.weight"], new["head.2.weight"])


def test_swollen_joints_are_drawn_as_often_as_the_others():
    weights = balanced_weights(torch.tensor([1.0, 0, 0, 0]))
    assert weights.tolist() == pytest.approx([0.5, 1 / 6, 1 / 6, 1 / 6])


def test_a_paired_difference_of_equal_competitors_is_nothing():
    y = np.array([1, 0, 1, 0, 0, 1])
    row = Scored("a", np.array([0.9, 0.1, 0.8, 0.3, 0.2, 0.4]), y > 0, y > 0)
    assert compare.paired(row, row, y, np.array(list("aabbcc")), 20)["f1"] == {"mean": 0, "low": 0, "high": 0}


@pytest.mark.parametrize("delta,said", [(None, "not measured"), (0.21, "+0.210 reached"), (0.19, "+0.190 **not reached**")])
def test_a_bar_is_reached_or_said_not_to_be(delta, said, monkeypatch):
    monkeypatch.setattr(compare, "bars", lambda rows: {"deltaF1SingleBranch": delta, "deltaGmeanSingleBranch": None, "deltaF1Tuned": None, "deltaAuprcTuned": None})
    assert compare.bar_lines({"clinic": {"rows": {}}})[2].endswith(f"| {said} |")


def test_controls_of_a_network_need_no_rising_scores(folders):
    cal, test = load_crops(folders["calibration"]), load_crops(folders["test"])
    row, error = compare.read("control", -cal.labels * 3.0, -test.labels * 3.0, 0.0, "tuned", cal, test)
    assert error is None and row.score.shape == (int(test.mask.sum()),)


def test_results_are_json_without_nan(compared):
    knobs, _ = compared
    assert "NaN" not in (compare.Path(knobs.results) / "comparison.json").read_text()
    json.loads((compare.Path(knobs.results) / "comparison.json").read_text())
