"""Hands of makers that training never saw, on made-up hands: figures against hand-worked ones, refusals, and what summary.json takes over."""
import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from conftest import write_crops
from jointlens_training import evaluate, transfer
from jointlens_training.crops import JOINTS, load_crops
from jointlens_training.metrics import auroc
from test_pipeline import REPOSITORY


@pytest.fixture(scope="module")
def sets(folders, bundle, tmp_path_factory):
    root = tmp_path_factory.mktemp("makers")
    made = {"implants": write_crops(root / "implants", "implant", 12, 0.4, 11), "untouched": write_crops(root / "untouched", "implant", 12, 0.0, 12),
            "other": write_crops(root / "other", "mesh", 12, 0.3, 13)}
    blur_a_third(made["implants"])
    shutil.copytree(folders["root"] / "results", root / "results")
    knobs = transfer.Knobs(model=str(bundle), calibration=str(folders["calibration"]), implants=str(made["implants"]), untouched=str(made["untouched"]),
                           set=(f"other mesh={made['other']}",), repeats=50, results=str(root / "results"))
    return knobs, transfer.transfer(knobs), made


def blur_a_third(folder):
    """Every third hand's row says that it is too blurred for the gates."""
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    for i, row in enumerate(rows):
        row["quality"] = {"presence": 1.0, "palmLengthPx": 300, "sharpness": 0.001 if i % 3 == 0 else 0.05, "brightness": 0.5}
    (folder / "index.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_every_set_has_its_figures_and_no_label_of_it_is_used(folders, sets):
    knobs, made, where = sets
    model, _, calibration, _, _ = transfer.network(knobs.model)
    for name, folder in (("implants", where["implants"]), ("other mesh", where["other"])):
        crops = load_crops(folder)
        p = transfer.probabilities(model, crops, calibration)
        assert made["sets"][name]["auroc"]["value"] == pytest.approx(auroc(crops.truth[crops.mask], p[crops.mask]), abs=1e-4)
        assert made["sets"][name]["auroc"]["value"] > 0.8  # these made-up joints differ by colour alone
        assert made["sets"][name]["joints"] == crops.mask.sum()
    assert made["thresholds"]["count (F1)"] == pytest.approx(calibration["thresholds"]["f1"], abs=1e-4)
    assert set(made["sets"]) == {"implants", "untouched", "other mesh"}


def test_a_grade_is_told_from_the_joints_that_are_not_swollen(sets):
    _, made, _ = sets
    grades = made["sets"]["implants"]["perGrade"]  # made-up swollen joints are all of grade 2
    assert grades["2"]["value"] == made["sets"]["implants"]["auroc"]["value"]
    assert grades["1"] == grades["3"] == evaluate.NOT_EVALUABLE


def test_false_alarms_are_the_flagged_joints_of_untouched_hands(sets):
    knobs, made, where = sets
    model, _, calibration, _, _ = transfer.network(knobs.model)
    crops, cal = load_crops(where["untouched"]), load_crops(knobs.calibration)
    on_cal = transfer.probabilities(model, cal, calibration)[cal.mask & (cal.truth == 0)]
    limit = transfer.threshold_at(0.9, transfer.probabilities(model, cal, calibration)[cal.mask], cal.truth[cal.mask])
    assert (on_cal < limit).mean() >= 0.9 > (on_cal < on_cal[on_cal < limit].max()).mean()
    expected = (transfer.probabilities(model, crops, calibration)[crops.mask] >= limit).mean()
    assert made["transferFalseAlarms"] == pytest.approx(expected, abs=1e-4)
    untouched = made["sets"]["untouched"]
    assert untouched["auroc"] == evaluate.NOT_EVALUABLE and untouched["positives"] == 0 and untouched["sensitivity"]["G-mean"] is None


def test_the_threshold_leaves_the_wanted_share_of_healthy_joints_below_it():
    p = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
    y = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    limit = transfer.threshold_at(0.9, p, y)
    assert (p[y == 0] < limit).sum() == 9 and limit > 0.9


def test_the_headline_is_the_hardest_maker():
    part = lambda value: {"auroc": {"value": value}, "hands": 4, "patients": 2, "sources": 2, "falseAlarms": {"90% specificity on calibration": 0.07}}
    head = transfer.headline({"implants": part(0.9), "renderer": part(0.7), "untouched": {**part(0), "auroc": evaluate.NOT_EVALUABLE}})
    assert (head["transferAuroc"], head["transferFalseAlarms"]) == (0.7, 0.07) and "lowest: renderer" in head["scale"]
    assert transfer.headline({"untouched": {**part(0), "auroc": evaluate.NOT_EVALUABLE}})["transferAuroc"] is None


def test_hands_that_the_service_would_refuse_are_told_apart(sets):
    _, made, where = sets
    gates = made["sets"]["implants"]["gates"]
    hands = len(load_crops(where["implants"]))
    assert gates["handsPassing"] == hands - len(range(0, hands, 3))
    assert made["sets"]["other mesh"]["gates"]["handsPassing"] == len(load_crops(where["other"]))  # nothing said about quality: read


def test_the_summary_takes_the_figures_of_its_own_model_only(sets):
    knobs, made, _ = sets
    results = transfer.Path(knobs.results)
    summary = json.loads((results / "summary.json").read_text())
    assert summary["transferAuroc"] == made["transferAuroc"] and summary["transferFalseAlarms"] == made["transferFalseAlarms"]
    assert "transferAuroc" not in summary["notes"] and summary["scales"]["transfer"] == made["scale"]
    (results / "transfer.json").write_text(json.dumps({**made, "network": "0" * 64}))
    evaluate.refresh_summary(results)
    other = json.loads((results / "summary.json").read_text())
    assert other["transferAuroc"] is None and "not run with this model" in other["notes"]["transferAuroc"]
    (results / "transfer.json").write_text(json.dumps(made))
    evaluate.refresh_summary(results)


def test_a_checkpoint_and_the_bundle_exported_from_it_are_the_same_network(folders, sets, tmp_path):
    knobs, made, _ = sets
    again = transfer.transfer(replace(knobs, model=str(folders["root"] / "run"), results=str(tmp_path)))
    assert again["network"] == made["network"] and again["modelSha256"] != made["modelSha256"]
    assert again["transferAuroc"] == pytest.approx(made["transferAuroc"], abs=0.002)
    assert again["sets"]["implants"]["gates"] is None and not (tmp_path / "summary.json").exists()


def test_the_report_says_how_few_people_there_are(sets, tmp_path):
    knobs, made, _ = sets
    text = (transfer.Path(knobs.results) / "transfer.md").read_text()
    assert "| implants | 12 |" in text and "Few people" not in text
    one = write_crops(tmp_path / "one", "one", 1, 0.5, 5)
    assert "Few people: one (1)" in transfer.report(transfer.transfer(replace(knobs, implants="", untouched="", set=(f"one={one}",), results=str(tmp_path))))


def test_sets_that_prove_nothing_are_refused(folders, sets):
    knobs, _, _ = sets
    with pytest.raises(ValueError, match="received none"):
        transfer.transfer(replace(knobs, implants="", untouched="", set=()))
    with pytest.raises(ValueError, match="a name of its own"):
        transfer.transfer(replace(knobs, set=(f"implants={knobs.implants}",)))
    with pytest.raises(ValueError, match="Expected --set NAME=FOLDER but received bare"):
        transfer.transfer(replace(knobs, set=("bare",)))
    with pytest.raises(ValueError, match="what the network was trained on"):
        transfer.transfer(replace(knobs, set=(f"seen={folders['train']}",)))
    with pytest.raises(ValueError, match="no patient in both calibration and again"):
        transfer.transfer(replace(knobs, set=(f"again={folders['calibration']}",)))


def test_the_command_takes_any_number_of_sets(sets, tmp_path):
    knobs, _, where = sets
    words = ["transfer", "--model", knobs.model, "--calibration", knobs.calibration, "--set", f"a={where['implants']}", "--set", f"b={where['other']}", "--repeats", "20", "--results", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "jointlens_training", *words], capture_output=True, text=True, cwd=REPOSITORY / "training")
    assert done.returncode == 0, done.stderr
    assert list(json.loads((tmp_path / "transfer.json").read_text())["sets"]) == ["a", "b"]
    wrong = subprocess.run([sys.executable, "-m", "jointlens_training", "transfer", "--results", str(tmp_path)], capture_output=True, text=True, cwd=REPOSITORY / "training")
    assert wrong.returncode == 1 and "received none" in wrong.stderr


def test_joints_without_a_label_do_not_count(sets):
    crops = load_crops(sets[2]["implants"])
    assert not crops.mask.all() and crops.mask.shape[1] == len(JOINTS)
    assert sets[1]["sets"]["implants"]["positives"] == crops.truth[crops.mask].sum()
