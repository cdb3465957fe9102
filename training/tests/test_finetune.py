"""A site's own path, on made-up hands: labels, refusals, nested folds, a bundle the service reads."""
import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import write_crops
from jointlens_training import finetune
from jointlens_training.bundle_weights import load_bundle, module_path
from jointlens_training.crops import load_crops
from jointlens_training.site_labels import read_labels
from jointlens_training.train import load_model, predict
from test_pipeline import REPOSITORY, runs_typescript

HEADER = "photo,side,joint,label,patient\n"


@pytest.fixture(scope="module")
def site(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    write_crops(out / "crops", "site", 24, 0.2, 7)
    knobs = finetune.Knobs(out=str(out), base=str(bundle), evidence="synthetic", source="made-up labels", outer=2, inner=2, epochs=1, repeats=30)
    return knobs, finetune.finetune(knobs)


def test_the_network_of_a_bundle_is_the_one_that_was_exported(folders, bundle):
    test = load_crops(folders["test"])
    trained = load_model(folders["root"] / "run" / "model.pt")[0]
    assert np.allclose(predict(load_bundle(bundle)[0], test), predict(trained, test), atol=1e-4)


def test_a_bundle_whose_network_was_changed_is_refused(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "b")
    with open(tmp_path / "b" / "model.onnx", "ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="another file"):
        load_bundle(tmp_path / "b")


@pytest.mark.parametrize("name,path", [("/local/blocks/blocks.0/first/first.0/Conv", "local.blocks.0.first.0"), ("/whole/stem/stem.0/Conv", "whole.stem.0"),
                                       ("/from_local/MatMul", "from_local"), ("/head/head.2/MatMul", "head.2")])
def test_node_names_are_places_in_the_network(name, path):
    assert module_path(name) == path


def test_held_out_figures_come_from_patients_nobody_learned_from(site):
    knobs, made = site
    crops = load_crops(finetune.Path(knobs.out) / "crops")
    folds = finetune.patient_folds(crops, np.arange(len(crops)), 4, seed=1)
    assert sorted(np.concatenate(folds)) == list(range(len(crops)))
    assert all(not set(crops.patients[a]) & set(crops.patients[b]) for i, a in enumerate(folds) for b in folds[i + 1 :])
    assert made["data"]["joints"] == crops.mask.sum() and made["data"]["patients"] == 24
    assert {"mean", "low", "high"} == set(made["lessBase"]["auprc"]) and 0 <= made["stopped"] <= 1


def test_patients_with_swollen_joints_are_dealt_out_evenly(site):
    crops = load_crops(finetune.Path(site[0].out) / "crops")
    load = [(crops.labels * crops.mask)[fold].sum() for fold in finetune.patient_folds(crops, np.arange(len(crops)), 3, seed=1)]
    assert max(load) < 1.5 * min(load)


def test_no_epochs_leave_the_network_as_it_was(folders, bundle):
    crops, base = load_crops(folders["test"]), load_bundle(bundle)[0]
    model, watched = finetune.fit(base, crops, np.arange(20), finetune.Knobs(), 0, 1, watch=np.arange(20, 24))
    assert torch.equal(model.head[-1].weight, base.head[-1].weight) and watched.shape == (1, 4, 11)


def test_fine_tuning_moves_the_weights_and_not_the_batch_norms(folders, bundle):
    crops, base = load_crops(folders["test"]), load_bundle(bundle)[0]
    model, _ = finetune.fit(base, crops, np.arange(16), finetune.Knobs(epochs=1), 1, 1)
    assert not torch.equal(model.local.stem[0].weight, base.local.stem[0].weight)
    assert torch.equal(model.local.stem[1].running_var, base.local.stem[1].running_var)


def test_too_few_patients_or_swollen_joints_are_refused_with_numbers(folders, bundle, tmp_path):
    write_crops(tmp_path / "crops", "few", 6, 0.1, 3)
    knobs = finetune.Knobs(out=str(tmp_path), base=str(bundle))
    with pytest.raises(ValueError, match=r"6 patients \(at least 20\).*swollen joints that can be read \(at least 30\).*jointlens calibrate"):
        finetune.finetune(knobs)
    with pytest.raises(ValueError, match="Expected --photos and --labels"):
        finetune.finetune(replace(knobs, out=str(tmp_path / "none")))


def test_the_bundle_says_what_it_is_and_holds_no_picture_of_a_patient(site, bundle):
    knobs, made = site
    folder = finetune.Path(knobs.out) / "bundle" / knobs.version
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["version"], manifest["evidence"], manifest["labels"]["source"]) == ("0.1.0-site.1", "synthetic", "made-up labels")
    assert (folder / "golden" / "inputs.u8").read_bytes() == (bundle / "golden" / "inputs.u8").read_bytes()
    card = (folder / "MODEL_CARD.md").read_text()
    assert "24 patients of one site" in card and "computer-made hands only; research" not in card
    assert manifest["training"]["base"] == finetune.sha256((bundle / "manifest.json").read_bytes())
    assert "out of fold" in manifest["calibration"]["data"]


@pytest.mark.skipif(not runs_typescript(), reason="needs a Node that runs TypeScript, and the installed packages")
def test_the_service_verifies_a_sites_bundle(site, tmp_path):
    knobs, _ = site
    folder = finetune.Path(knobs.out) / "bundle" / knobs.version
    done = subprocess.run(["node", str(REPOSITORY / "bin" / "jointlens.mjs"), "model", "verify", str(folder)], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "golden outputs 2 hands equal" in done.stdout


def test_labels_become_one_row_a_hand_and_unlabelled_joints_stay_unknown(tmp_path):
    (tmp_path / "labels.csv").write_text("Patient,photo,side,joint,label,visit\np1,a.jpg,left,mcp2,1,2\np1,a.jpg,left,PIP3,0,2\np1,a.jpg,right,wrist,0,2\n")
    left, right = read_labels(tmp_path / "labels.csv")
    assert (left["photo"], left["side"], left["patient"], left["visit"]) == ("a.jpg", "left", "p1", "2")
    assert left["joints"]["mcp2"] == {"label": 1} and left["joints"]["pip3"] == {"label": 0} and left["joints"]["wrist"] == {}
    assert right["side"] == "right"


def test_a_spreadsheet_of_another_country_is_read_too(tmp_path):
    (tmp_path / "labels.csv").write_text("photo;side;joint;label;patient\r\na, b.jpg;left;mcp2;1;p1\r\n", encoding="utf-8-sig")
    (hand,) = read_labels(tmp_path / "labels.csv")
    assert hand["photo"] == "a, b.jpg" and hand["joints"]["mcp2"] == {"label": 1}


@pytest.mark.parametrize("text,said", [
    ("photo,side,joint,label\na.jpg,left,mcp2,1\n", "none called patient"),
    (HEADER, "found none"),
    (HEADER + "../a.jpg,left,mcp2,1,p1\n", "photo of the folder in line 2"),
    (HEADER + "a.jpg,up,mcp2,1,p1\n", "left or right in line 2"),
    (HEADER + "a.jpg,left,dip2,1,p1\n", "a joint"),
    (HEADER + "a.jpg,left,mcp2,yes,p1\n", "label 1"),
    (HEADER + "a.jpg,left,mcp2,1,\n", "a patient in line 2"),
    (HEADER + "a.jpg,left,mcp2,1,p1\na.jpg,left,mcp2,0,p1\n", "second one for left mcp2"),
    (HEADER + "a.jpg,left,mcp2,1,p1\na.jpg,left,mcp3,0,p2\n", "patient p1 of a.jpg in line 3"),
])
def test_a_table_of_labels_with_a_fault_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_labels(tmp_path / "labels.csv")
