"""A site's own path, on made-up hands: labels, refusals, nested folds, a bundle the service reads."""
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import write_crops
from jointlens_training import finetune
from jointlens_training.bundle_weights import load_bundle, module_path
from jointlens_training.card import stopping_words
from jointlens_training.crops import JOINTS, load_crops
from jointlens_training.site_labels import left_out, photo_digests, read_labels
from jointlens_training.train import load_model, predict
from test_pipeline import REPOSITORY, runs_typescript

HEADER = "photo,side,joint,label,patient\n"
# Read by test/inference/labels-csv.test.ts too: one table, one verdict.
TABLES = json.loads((REPOSITORY / "test" / "fixtures" / "label-tables.json").read_text())
VERSION = "0.1.1-site.1"  # after the 0.1.0 of the bundle


@pytest.fixture(scope="module")
def site(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    write_crops(out / "crops", "site", 24, 0.2, 7)
    knobs = finetune.Knobs(out=str(out), base=str(bundle), evidence="synthetic", source="made-up labels", outer=2, inner=2, epochs=1, least_steps=0, repeats=30)
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


@pytest.mark.parametrize("outer,inner", [(2, 2), (5, 4)])
@pytest.mark.parametrize("seed", range(5))
def test_of_the_fewest_patients_somebody_with_a_swollen_joint_is_left_to_learn_from(folders, outer, inner, seed):
    crops = load_crops(folders["test"])
    rows = np.arange(0, 8, 2)  # one hand of each of four, three with a swollen joint
    labels = np.zeros_like(crops.labels)
    labels[rows[1:], seed % len(JOINTS)] = 1
    crops = replace(crops, labels=labels, mask=np.ones_like(crops.mask))
    for test in finetune.patient_folds(crops, rows, max(outer, finetune.FEWEST_OUTER), seed):
        rest = np.setdiff1d(rows, test)
        for watched in finetune.patient_folds(crops, rest, inner, seed):
            assert labels[np.setdiff1d(rest, watched)].any()


def test_nothing_is_learned_for_a_gain_that_chance_would_make():
    random = np.random.default_rng(2)
    y, patients = (random.random(400) < 0.2).astype(float), np.repeat(np.arange(20), 20)
    before = y + random.normal(0, 1, 400)
    as_good, better = [before + random.normal(0, 0.1, 400) for _ in range(4)], before + y
    assert max(finetune.auprc(y, one) for one in as_good) > finetune.auprc(y, before)
    assert finetune.stop_of(y, np.array([before, *as_good]), patients) == 0
    assert finetune.stop_of(y, np.array([before, before, better, before]), patients) == 2


def test_no_epochs_leave_the_network_as_it_was(folders, bundle):
    crops, base = load_crops(folders["test"]), load_bundle(bundle)[0]
    model, watched = finetune.fit(base, crops, np.arange(20), finetune.Knobs(), 0, 1, watch=np.arange(20, 24))
    assert torch.equal(model.head[-1].weight, base.head[-1].weight) and watched.shape == (1, 4, 11)


def test_fine_tuning_moves_the_weights_and_not_the_batch_norms(folders, bundle):
    crops, base = load_crops(folders["test"]), load_bundle(bundle)[0]
    model, _ = finetune.fit(base, crops, np.arange(16), finetune.Knobs(epochs=1), 1, 1)
    assert not torch.equal(model.local.stem[0].weight, base.local.stem[0].weight)
    assert torch.equal(model.local.stem[1].running_var, base.local.stem[1].running_var)


def test_few_hands_are_looked_at_more_often():
    knobs = finetune.Knobs()
    assert [finetune.epochs_of(knobs, hands) for hands in (500, 120, 40)] == [30, 54, 160]
    assert finetune.epochs_of(replace(knobs, epochs=0), 40) == 0 and finetune.epochs_of(replace(knobs, epochs=3, least_steps=0), 40) == 3


def test_what_is_judged_and_kept_is_a_running_mean_of_the_weights(folders, bundle):
    crops, base = load_crops(folders["test"]), load_bundle(bundle)[0]
    kept = lambda ema: finetune.fit(base, crops, np.arange(16), finetune.Knobs(epochs=1, ema=ema), 1, 1)[0].local.stem[0].weight.detach()
    moved = lambda ema: float((kept(ema) - base.local.stem[0].weight.detach()).norm())
    assert 0 < moved(0.98) < moved(0.0)


def test_too_little_to_learn_from_is_refused_with_numbers(folders, bundle, tmp_path):
    write_crops(tmp_path / "crops", "few", 3, 0.1, 3)
    knobs = finetune.Knobs(out=str(tmp_path), base=str(bundle))
    with pytest.raises(ValueError, match=r"3 patients \(at least 4\).*Label more joints.*calibration of its own needs 20 patients, 30 swollen joints"):
        finetune.finetune(knobs)
    with pytest.raises(ValueError, match="Expected --photos and --labels"):
        finetune.finetune(replace(knobs, out=str(tmp_path / "none")))


@pytest.fixture(scope="module", params=[(4, 0.1, 4), (8, 0.2, 5), (12, 0.2, 6)], ids=lambda few: f"{few[0]} patients")
def few(bundle, tmp_path_factory, request):
    out = tmp_path_factory.mktemp("few")
    write_crops(out / "crops", "few", *request.param)
    knobs = finetune.Knobs(out=str(out), base=str(bundle), evidence="synthetic", source="made-up labels", outer=2, inner=2, epochs=1, least_steps=0, repeats=30)
    return knobs, finetune.finetune(knobs)


def test_a_few_patients_are_learned_from_with_the_calibration_that_was_there(few, bundle):
    knobs, made = few
    kept = json.loads((bundle / "manifest.json").read_text())["calibration"]
    manifest = json.loads((finetune.Path(knobs.out) / "bundle" / VERSION / "manifest.json").read_text())
    assert manifest["calibration"] | {"data": ""} == kept | {"data": ""}
    assert manifest["calibration"]["data"] == f"{kept['data']}; kept from version 0.1.0, not checked on this site's patients"
    assert manifest["training"]["calibrationKeptFrom"] == "0.1.0" and manifest["training"]["patients"] == made["data"]["patients"]
    assert made["data"]["joints"] == load_crops(finetune.Path(knobs.out) / "crops").mask.sum()  # each was held out once
    # No file that would let the service take it for a site's own calibration.
    assert not (finetune.Path(knobs.out) / "site-calibration.json").exists()


def test_a_few_patients_give_no_figure_that_is_chance(few):
    knobs, made = few
    card = (finetune.Path(knobs.out) / "bundle" / VERSION / "MODEL_CARD.md").read_text()
    assert f"**Calibration, thresholds and count interval are those of version 0.1.0: {made['data']['patients']} patients with {made['data']['positives']} swollen joints" in card
    assert "They are this site's" not in card and "were not made from this site's patients" in card
    said = finetune.spoken(made)
    assert "leave it in shadow mode until `jointlens calibrate`" in said
    auroc = made["modelIntervals"]["auroc"]
    if made["data"]["positives"] < 20:
        assert set(auroc.values()) == {None} and made["ece"] is None and "| **this model** | - | - | - | - |" in card
        assert "fewer than 20 swollen or other joints: whether it is better than the bundle it started from is not known" in said
    elif made["data"]["patients"] < 10:
        assert (auroc["value"], auroc["low"]) == (made["model"]["auroc"], None) and f"| **this model** | {auroc['value']:.3f} | " in card
        assert made["count"]["meanAbsoluteError"] is None and "Count per visit: not evaluable, 8 visits" in card and "of too few patients to say whether that is chance" in said
    else:
        assert f"| **this model** | {auroc['value']:.3f} ({auroc['low']:.3f} to " in card and "the bundle it started from (AUPRC" in said


def test_a_bundle_that_is_worse_than_the_one_it_started_from_is_not_recommended(site):
    less = lambda low, high: site[1] | {"lessBase": {"auprc": {"mean": (low + high) / 2, "low": low, "high": high}}}
    assert "worse than the bundle it started from" in finetune.spoken(less(-0.2, -0.1)) and finetune.spoken(less(-0.2, -0.1)).endswith("Stay with the bundle it started from.")
    assert finetune.spoken(less(-0.2, 0.1)).endswith("Compare it in shadow mode, then change JOINTLENS_MODEL and calibrationFile.")


def test_a_bundle_that_knew_it_the_other_way_round_is_said(few):
    base = few[1]["baselines"][finetune.STARTED_FROM]
    turned = few[1] | {"baselines": {finetune.STARTED_FROM: base | {"auroc": {"value": 0.31, "low": None, "high": None}}}}
    assert "worse than chance (AUROC 0.310): is 1 swollen in the labels" in finetune.spoken(turned)
    assert "worse than chance" not in finetune.spoken(few[1])


@pytest.mark.skipif(not runs_typescript(), reason="needs a Node that runs TypeScript, and the installed packages")
def test_the_service_verifies_a_bundle_of_a_few_patients(few, tmp_path):
    verified(finetune.Path(few[0].out) / "bundle" / VERSION, tmp_path)


def command(*words):
    return subprocess.run([sys.executable, "-m", "jointlens_training", *words], capture_output=True, text=True, cwd=REPOSITORY / "training")


def test_help_says_what_each_knob_is():
    said = " ".join(command("finetune", "--help").stdout.split())
    assert "--labels LABELS CSV photo,side,joint,label,patient[,visit] (default: )" in said
    assert "--epochs EPOCHS at most; the inner folds say when to stop (default: 30)" in said


def test_what_cannot_be_read_is_one_line_and_no_traceback(tmp_path):
    done = command("finetune", "--base", str(tmp_path), "--out", str(tmp_path / "out"))
    assert (done.returncode, done.stdout) == (1, "") and len(done.stderr.splitlines()) == 1 and "manifest.json" in done.stderr


@pytest.mark.parametrize("change", [{"outer": 1}, {"inner": 1}, {"epochs": -1}, {"least_steps": -1}, {"evidence": "real"}])
def test_knobs_that_cannot_be_meant_are_refused(site, change):
    with pytest.raises(ValueError, match="^Expected "):
        finetune.finetune(replace(site[0], version="0.3.0", **change))


def test_labels_that_are_turned_round_are_refused_with_what_to_look_at(site, tmp_path, monkeypatch):
    knobs = site[0]
    monkeypatch.setitem(finetune.TO_CALIBRATE, "joints that are not swollen", 50)  # as few as there are swollen ones
    shutil.copytree(finetune.Path(knobs.out) / "crops", tmp_path / "crops")
    index = tmp_path / "crops" / "index.jsonl"
    index.write_text(re.sub(r'"label": ([01])', lambda found: f'"label": {1 - int(found[1])}', index.read_text()))
    with pytest.raises(ValueError, match="is 1 swollen in the labels"):
        finetune.finetune(replace(knobs, out=str(tmp_path), epochs=0))


def test_the_bundle_says_what_it_is_and_holds_no_picture_of_a_patient(site, bundle):
    knobs, made = site
    folder = finetune.Path(knobs.out) / "bundle" / VERSION
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["version"], manifest["evidence"], manifest["labels"]["source"]) == (VERSION, "synthetic", "made-up labels")
    assert (folder / "golden" / "inputs.u8").read_bytes() == (bundle / "golden" / "inputs.u8").read_bytes()
    card = (folder / "MODEL_CARD.md").read_text()
    assert "24 patients of one site" in card and "computer-made hands only; research" not in card
    assert manifest["training"]["base"] == finetune.sha256((bundle / "manifest.json").read_bytes())
    assert "out of fold" in manifest["calibration"]["data"]


def test_the_bundle_says_nothing_of_folders_and_files(site):
    knobs, made = site
    named = replace(knobs, photos="/home/dr. geheim/Fotos", labels="geheim.csv", epochs=3)
    assert finetune.command_of(named) == ("python -m jointlens_training finetune --photos PHOTOS --labels LABELS --out OUT --base BASE "
                                          "--evidence synthetic --source 'made-up labels' --outer 2 --inner 2 --epochs 3 --least-steps 0 --repeats 30")
    for file in (finetune.Path(knobs.out) / "bundle" / VERSION).rglob("*"):
        assert not file.is_file() or knobs.out.encode() not in file.read_bytes()
    assert "--out OUT" in made["training"]["command"]


def test_the_card_says_what_the_command_printed_and_what_could_not_be_read(site):
    knobs, made = site
    card = (finetune.Path(knobs.out) / "bundle" / VERSION / "MODEL_CARD.md").read_text()
    for name in ("auroc", "auprc", "f1", "gmean"):
        assert f"{made['model'][name]:.3f} ({made['modelIntervals'][name]['low']:.3f} to {made['modelIntervals'][name]['high']:.3f})" in card
    assert f"0.0% of 48 labelled hands and {made['unread']['jointsMasked']:.1%} of the joints of the others could not be read and are in no figure." in card
    assert len(made["stoppedInFolds"]) == 2
    assert stopping_words(made) in card
    assert "| at the count threshold |" not in card


def test_a_stopped_run_goes_on_after_the_last_fold(site, tmp_path, monkeypatch):
    knobs, made = site
    shutil.copytree(finetune.Path(knobs.out) / "crops", tmp_path / "crops")
    here, choose, asked = replace(knobs, out=str(tmp_path)), finetune.choose, []

    def stopped_at(call):
        def counted(*given, **named):
            asked.append(call)
            if len(asked) == call:
                raise KeyboardInterrupt
            return choose(*given, **named)
        return counted
    monkeypatch.setattr(finetune, "choose", stopped_at(2))
    with pytest.raises(KeyboardInterrupt):
        finetune.finetune(here)
    asked.clear()
    monkeypatch.setattr(finetune, "choose", stopped_at(None))
    again = finetune.finetune(here)
    assert len(asked) == 2  # the second fold and everyone
    assert {name: again[name] for name in ("modelIntervals", "calibration", "stopped")} == {name: made[name] for name in ("modelIntervals", "calibration", "stopped")}
    # Other data or knobs begin anew.
    asked.clear()
    finetune.finetune(replace(here, smooth=0.01, version="0.2.0"))
    assert len(asked) == 3


def test_a_bundle_that_is_there_is_never_written_over(site):
    before = (finetune.Path(site[0].out) / "bundle" / VERSION / "manifest.json").read_bytes()
    with pytest.raises(ValueError, match="holds one: it may be in use"):
        finetune.finetune(site[0])
    assert (finetune.Path(site[0].out) / "bundle" / VERSION / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("base,version,made", [("0.1.0", "", "0.1.1-site.1"), ("0.1.1-site.9", "", "0.1.1-site.10"), ("0.1.0-int8", "", "0.1.1-site.1"), ("0.1.0", "0.2.0", "0.2.0")])
def test_a_sites_version_is_newer_than_the_one_it_started_from(tmp_path, base, version, made):
    assert finetune.version_after(base, finetune.Knobs(out=str(tmp_path), version=version)) == made


@pytest.mark.parametrize("base,version", [("0.1.0", "0.1.0-site.1"), ("0.1.0", "0.1.0"), ("0.1.1-site.10", "0.1.1-site.9"), ("0.1.0", "clinic-7")])
def test_a_version_that_the_service_would_take_for_older_is_refused(tmp_path, base, version):
    with pytest.raises(ValueError, match="Expected a .*version"):
        finetune.version_after(base, finetune.Knobs(out=str(tmp_path), version=version))


def test_the_calibration_of_patients_held_out_is_a_file_of_this_bundle(site):
    out = finetune.Path(site[0].out)
    manifest = (out / "bundle" / VERSION / "manifest.json").read_bytes()
    made = json.loads((out / "site-calibration.json").read_text())
    assert made == {"modelDigest": finetune.sha256(manifest), "calibration": json.loads(manifest)["calibration"]}


@pytest.mark.skipif(not runs_typescript(), reason="needs a Node that runs TypeScript, and the installed packages")
def test_the_service_verifies_a_sites_bundle(site, tmp_path):
    knobs, _ = site
    verified(finetune.Path(knobs.out) / "bundle" / VERSION, tmp_path)


def verified(folder, cwd):
    done = subprocess.run(["node", str(REPOSITORY / "bin" / "jointlens.mjs"), "model", "verify", str(folder)], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "golden outputs 2 hands equal" in done.stdout


def test_labels_become_one_row_a_hand_and_unlabelled_joints_stay_unknown(tmp_path):
    (tmp_path / "labels.csv").write_text("Patient,photo,side,joint,label,visit\np1,a.jpg,left,mcp2,1,2\np1,a.jpg,left,PIP3,0,2\np1,a.jpg,right,wrist,0,2\n")
    left, right = read_labels(tmp_path / "labels.csv")
    assert (left["photo"], left["side"], left["patient"], left["visit"]) == ("a.jpg", "left", "p1", "2")
    assert left["joints"]["mcp2"] == {"label": 1} and left["joints"]["pip3"] == {"label": 0} and left["joints"]["wrist"] == {}
    assert right["side"] == "right"


@pytest.mark.parametrize("name", TABLES["read"])
def test_tables_as_people_and_spreadsheets_write_them_are_read(tmp_path, name):
    text, rows = TABLES["read"][name]
    (tmp_path / "labels.csv").write_bytes(text.encode())
    found = [[hand["photo"], hand["side"], joint, value["label"], hand["patient"]]
             for hand in read_labels(tmp_path / "labels.csv") for joint, value in hand["joints"].items() if value]
    assert found == rows


@pytest.mark.parametrize("name", TABLES["refused"])
def test_a_table_of_labels_with_a_fault_is_refused_with_its_line(tmp_path, name):
    text, said = TABLES["refused"][name]
    (tmp_path / "labels.csv").write_bytes(text.encode())
    with pytest.raises(ValueError, match=re.escape(said)):
        read_labels(tmp_path / "labels.csv")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_table_in_another_encoding_is_refused_with_what_to_do(tmp_path, encoding):
    (tmp_path / "labels.csv").write_bytes("photo,side,joint,label,patient\nMüller.jpg,left,mcp2,1,p1\n".encode(encoding))
    with pytest.raises(ValueError, match="save it as CSV UTF-8"):
        read_labels(tmp_path / "labels.csv")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_labels(tmp_path / "none.csv")


def labelled(photo, patient):
    return {"photo": photo, "side": "left", "patient": patient, "visit": "1", "joints": {joint: {"label": 0} for joint in JOINTS}}


def test_a_labelled_photo_that_is_not_there_is_named_with_the_one_that_is_nearly(tmp_path):
    (tmp_path / "Mu\u0308ller.JPG").write_bytes(b"1")
    with pytest.raises(ValueError, match='2 of 2 are not there: "m\u00fcller.jpg" .there is "Mu\u0308ller.JPG", whose accents.*"b.jpg". Correct the names, or take the lines'):
        photo_digests(tmp_path, [labelled("m\u00fcller.jpg", "p1"), labelled("b.jpg", "p1")])
    (tmp_path / "visit 1").mkdir()
    (tmp_path / "visit 1" / "IMG 1.JPG").write_bytes(b"2")
    with pytest.raises(ValueError, match='"IMG 1" .there is "visit 1/IMG 1.JPG"., "img 1.jpg" .there is "visit 1/IMG 1.JPG"..'):
        photo_digests(tmp_path, [labelled("IMG 1", "p1"), labelled("img 1.jpg", "p1")])
    with pytest.raises(ValueError, match="--photos to be a folder"):
        photo_digests(tmp_path / "none", [labelled("b.jpg", "p1")])


def test_one_picture_of_two_patients_is_refused(tmp_path):
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"the same")
    assert len(set(photo_digests(tmp_path, [labelled("a.jpg", "p1"), labelled("b.jpg", "p1")]).values())) == 1
    with pytest.raises(ValueError, match='"a.jpg" of p1 and "b.jpg" of p2 are the same picture'):
        photo_digests(tmp_path, [labelled("a.jpg", "p1"), labelled("b.jpg", "p2")])


@pytest.mark.skipif(not runs_typescript(), reason="needs a Node that runs TypeScript, and the installed packages")
def test_photos_are_cut_again_when_they_or_the_code_change_and_what_is_left_out_is_said(tmp_path, monkeypatch):
    photos, knobs = tmp_path / "photos", finetune.Knobs(photos=str(tmp_path / "photos"), labels=str(tmp_path / "labels.csv"), out=str(tmp_path / "out"))
    photos.mkdir()
    manifest = {"inputs": {"global": {"size": 32}, "local": {"size": 16}}}
    shutil.copy(REPOSITORY / "demo" / "photos" / "demo-1-left.jpg", photos / "a.jpg")
    (photos / "b.jpg").write_bytes(b"no photo")
    (tmp_path / "labels.csv").write_text(HEADER + "a.jpg,left,mcp2,1,p1\nb.jpg,right,mcp2,0,p2\na.jpg,right,mcp2,0,p1\n")
    crops = finetune.site_crops(knobs, manifest)
    assert left_out(crops.folder) == ['Left out: right hand of "b.jpg": it is no JPEG, PNG or WebP photo', 'Left out: right hand of "a.jpg": only a hand of the other side was found in it']
    assert finetune.heard_of(crops) == "1 of 3 labelled hands can be read, and 1 of their 1 labelled joints"
    assert crops.folder.stat().st_mode & 0o077 == 0
    made = (crops.folder / "global.npy").stat().st_mtime_ns
    finetune.site_crops(knobs, manifest)
    assert (crops.folder / "global.npy").stat().st_mtime_ns == made
    shutil.copy(REPOSITORY / "demo" / "photos" / "demo-1-right.jpg", photos / "b.jpg")
    assert len(finetune.site_crops(knobs, manifest)) == 2
    made = (crops.folder / "global.npy").stat().st_mtime_ns
    monkeypatch.setattr(finetune, "cutting_code", lambda: "newer")
    finetune.site_crops(knobs, manifest)
    assert (crops.folder / "global.npy").stat().st_mtime_ns != made
