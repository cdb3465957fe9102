"""From crops to a bundle that the TypeScript reader accepts, on made-up hands."""
import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from jointlens_training import calibration_step, evaluate, export, pretrain, train
from jointlens_training.augment import normalise
from jointlens_training.bundle_weights import hold_norms
from jointlens_training.calibrate import probability
from jointlens_training.crops import JOINTS, load_crops
from jointlens_training.model import SKIN, JointModel, under_one_light

REPOSITORY = Path(__file__).parents[2]
CONTEXT = {"scale": 0.9, "weight": 1.1, "bias": 2.0, "floor": 0.01}
PAIR = {"scale": 0.8, "mirror": 0.5, "across": 0.2, "bias": 0.4, "floor": 0.02}


def test_the_model_learns_what_can_be_learned(folders, bundle):
    summary = json.loads((folders["root"] / "results" / "summary.json").read_text())
    assert summary["model"]["auroc"] > 0.9
    assert summary["baselines"]["always negative"]["f1"]["value"] == 0
    assert summary["baselines"]["redness only, logistic"]["auroc"]["value"] > 0.9  # these made-up joints differ by colour alone
    assert abs(summary["backgroundAuroc"] - 0.5) < 0.2
    assert summary["transferAuroc"] is None and "transferAuroc" in summary["notes"]


def test_figures_of_few_swollen_joints_are_called_too_few(folders, bundle, tmp_path, monkeypatch):
    assert "Too few to say" not in (folders["root"] / "results" / "evaluation.md").read_text()
    monkeypatch.setattr(evaluate, "ENOUGH_POSITIVES", 1000)
    evaluate.evaluate(evaluate.Knobs(calibration=str(folders["calibration"]), test=str(folders["test"]), bundle=str(bundle), repeats=5, results=str(tmp_path)))
    assert "**Too few to say: " in (tmp_path / "evaluation.md").read_text().split("| AUROC |")[0]


@pytest.mark.parametrize(("fusion", "constancy"), [("paper", False), ("paper", True), ("mix", True)])
def test_onnx_says_what_pytorch_says_for_any_number_of_hands(folders, fusion, constancy):
    torch.manual_seed(2)
    graph = export.to_onnx(model := JointModel(fusion=fusion, constancy=constancy).eval(), 64, 32)
    assert export.check_parity(model, graph, load_crops(folders["test"])) <= 1e-4
    assert onnx.load_from_string(graph).opset_import[0].version == 17


def test_lamp_and_exposure_do_not_reach_the_network_but_a_redder_joint_does():
    torch.manual_seed(2)
    model, random = JointModel(constancy=True).eval(), torch.Generator().manual_seed(2)
    whole, local = (0.2 + 0.3 * torch.rand(*shape, generator=random) for shape in ((2, 3, 64, 64), (2, 11, 3, 32, 32)))
    lamp = torch.tensor([0.7, 1.0, 1.4]).view(3, 1, 1)
    with torch.no_grad():
        plain = model(normalise(whole), normalise(local))
        assert torch.allclose(model(normalise(whole * lamp), normalise(local * lamp)), plain, atol=1e-4)
        redder = local.clone()
        redder[0, 3, 0] *= 1.3
        assert (model(normalise(whole), normalise(redder)) - plain)[0].abs().max() > 1e-3
        _, seen = under_one_light(normalise(whole), normalise(local), model.skin)
    colours = ((seen - normalise(torch.zeros(3, 1, 1))) / (normalise(torch.ones(3, 1, 1)) - normalise(torch.zeros(3, 1, 1))))[..., 10:-10, 10:-10].mean((1, 3, 4))
    assert torch.allclose(colours, torch.tensor(SKIN).expand(2, 3), atol=1e-5)


def test_while_learning_a_hand_has_the_colour_that_it_has():
    torch.manual_seed(2)
    model, local = hold_norms(JointModel(constancy=True, dropout=0)), torch.rand(2, 11, 3, 32, 32)
    whole = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(model(normalise(whole * 0.7), normalise(local * 0.7)), model(normalise(whole), normalise(local)), atol=1e-3)


def test_the_one_light_is_that_of_the_hands_that_were_learned_from(folders, tmp_path):
    model = train.train(train.Knobs(data=str(folders["train"]), out=str(tmp_path), epochs=1, batch=16, hold_out=0))
    colour = load_crops(folders["train"]).local[:, :, 10:-10, 10:-10].mean((0, 1, 2, 3)) / 255
    assert np.allclose(model.skin.flatten().numpy(), colour, atol=1e-3)


def test_black_crops_give_finite_logits():
    black = normalise(torch.zeros(1, 3, 64, 64)), normalise(torch.zeros(1, 11, 3, 32, 32))
    assert torch.isfinite(JointModel(constancy=True).eval()(*black)).all()


def test_a_network_from_before_colour_constancy_is_read_as_it_was(tmp_path):
    recipe = {name: value for name, value in asdict(train.Knobs()).items() if name != "constancy"}
    torch.save({"knobs": recipe, "model": JointModel().state_dict()}, tmp_path / "model.pt")
    assert train.load_model(tmp_path / "model.pt")[0].skin is None


@pytest.mark.parametrize("branches", ["local", "global"])
def test_a_single_branch_gives_a_logit_per_joint_too(branches):
    model = JointModel(branches).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 64, 64), torch.zeros(2, 11, 3, 32, 32)).shape[1] == len(JOINTS)


def test_a_hands_logits_do_not_depend_on_its_neighbours(folders):
    torch.manual_seed(2)
    model = JointModel()
    crops = load_crops(folders["test"])
    rows = np.array([3, 1, 2])
    assert np.allclose(train.predict(model, crops, rows)[1], train.predict(model, crops, np.array([1]))[0], atol=1e-5)


def test_a_stopped_run_goes_on_where_it_was(folders, tmp_path):
    knobs = dict(data=str(folders["train"]), batch=16, augment=True, epochs=2, threads=1)
    train.train(train.Knobs(out=str(tmp_path / "whole"), **knobs))
    whole = torch.load(tmp_path / "whole" / "model.pt")["model"]
    class Stopped(Exception):
        pass
    real, calls = train.save, []

    def stop_after_one(path, state):
        real(path, state)
        calls.append(path)
        raise Stopped

    train.save = stop_after_one
    try:
        with pytest.raises(Stopped):
            train.train(train.Knobs(out=str(tmp_path / "halves"), **knobs))
    finally:
        train.save = real
    train.train(train.Knobs(out=str(tmp_path / "halves"), resume=True, **knobs))
    halves = torch.load(tmp_path / "halves" / "model.pt")["model"]
    assert all(torch.allclose(whole[name].float(), halves[name].float(), atol=1e-4) for name in whole)


def test_pretraining_watches_for_collapse_and_its_encoders_start_a_training(folders, tmp_path):
    pretrain.pretrain(pretrain.Knobs(data=str(folders["train"]), out=str(tmp_path), healthy_only=False, epochs=1, batch=16, width=32, threads=1))
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert {"std", "rank", "knn"} <= set(line) and line["std"] > 0.1
    model = train.build(train.Knobs(pretrained=str(tmp_path / "encoders.pt")))
    learned = torch.load(tmp_path / "encoders.pt")["encoders"]["local"]["stem.0.weight"]
    assert torch.equal(model.local.stem[0].weight, learned)


def test_collapse_is_seen():
    same = torch.ones(64, 16) + 1e-6 * torch.randn(64, 16)
    assert pretrain.collapse_monitors(same)["std"] < 0.01
    assert pretrain.collapse_monitors(torch.randn(64, 16))["std"] > 0.8


def test_vicreg_and_simsiam_prefer_equal_views():
    z = torch.randn(64, 16)
    other = torch.randn(64, 16)
    for loss in pretrain.METHODS.values():
        assert loss(z, z, z, z) < loss(z, z, other, other)


def test_figures_of_another_model_are_refused_at_export(folders, bundle, tmp_path):
    summary = json.loads((folders["root"] / "results" / "summary.json").read_text())
    (tmp_path / "summary.json").write_text(json.dumps({**summary, "modelSha256": "0" * 64}))
    with pytest.raises(ValueError, match="evaluate first"):
        export.export(export.Knobs(model=str(folders["root"] / "run"), golden=str(folders["test"]), summary=str(tmp_path / "summary.json"), out=str(tmp_path)))


def test_the_card_says_synthetic_in_its_first_lines_and_fills_31_attributes(bundle):
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "| cold light |" in card and "false alarms" not in card  # nothing was measured on other makers here
    assert "Evidence: synthetic" in card.splitlines()[2] and "never seen a patient" in card
    attributes = json.loads((bundle / "model-card.json").read_text())["sourceAttributes"]
    assert len(attributes) == 31 and all(attributes.values())


def runs_typescript():
    if shutil.which("node") is None or not (REPOSITORY / "node_modules").exists():
        return False
    return subprocess.run(["node", "-p", "!!process.features.typescript"], capture_output=True, text=True).stdout.strip() == "true"


@pytest.mark.skipif(not runs_typescript(), reason="needs a Node that runs TypeScript, and the installed packages")
def test_the_typescript_reader_accepts_the_bundle_and_says_the_same_probabilities(bundle, tmp_path):
    export.demo_calibration(export.DemoKnobs(bundle=str(bundle), out=str(tmp_path / "calibration.json")))
    script = f"""
      import {{ readModelBundle }} from {json.dumps(str(REPOSITORY / 'src/inference/model-bundle.ts'))}
      import {{ handProbabilities, readCalibrationFile }} from {json.dumps(str(REPOSITORY / 'src/inference/calibrate.ts'))}
      import {{ withOtherHand }} from {json.dumps(str(REPOSITORY / 'src/inference/with-other-hand.ts'))}
      import {{ HAND_JOINTS }} from {json.dumps(str(REPOSITORY / 'src/joints/hand-joint.ts'))}
      const bundle = await readModelBundle({json.dumps(str(bundle))})
      const site = readCalibrationFile({json.dumps(str(tmp_path / 'calibration.json'))}, bundle.identity.digest)
      const calibration = {{ ...site, context: {json.dumps(CONTEXT)}, pair: {json.dumps(PAIR)} }}
      const read = handProbabilities(new Map(HAND_JOINTS.slice(0, 4).map((joint, index) => [joint, index - 2])), calibration)
      const whole = handProbabilities(new Map(HAND_JOINTS.map((joint, index) => [joint, 1.5 - index / 3])), calibration)
      const hand = (side, p) => ({{ side, joints: HAND_JOINTS.map((joint) => p.has(joint)
        ? {{ side, joint, kind: 'assessed', probability: p.get(joint), inflamed: false }} : {{ side, joint, kind: 'not-assessed', reason: 'occluded' }}) }})
      const [left, right] = withOtherHand([{{ hands: [hand('left', read)] }}, {{ hands: [hand('right', whole)] }}], calibration).map(({{ hands }}) => hands[0].joints.map(({{ probability }}) => probability ?? null))
      console.log(JSON.stringify({{ version: bundle.identity.version, evidence: bundle.manifest.evidence, data: site.data, p: [...read.values()], left, right }}))
    """
    (tmp_path / "read.ts").write_text(script)
    done = subprocess.run(["node", "--disable-warning=ExperimentalWarning", str(tmp_path / "read.ts")], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["version"], said["evidence"], said["data"]) == ("0.1.0", "synthetic", "synthetic demo patients")
    calibration = {**json.loads((bundle / "manifest.json").read_text())["calibration"], "context": CONTEXT}
    z, readable = np.arange(11)[None] - 2.0, np.arange(11)[None] < 4
    assert np.allclose(said["p"], probability(z, calibration, readable)[0, :4], atol=1e-12)
    both = np.stack([z[0], 1.5 - np.arange(11) / 3])
    p = probability(both, {**calibration, "pair": PAIR}, np.stack([readable[0], np.ones(11, bool)]), np.array([1, 0]))
    assert np.allclose(said["left"][:4], p[0, :4], atol=1e-12) and said["left"][4:] == [None] * 7
    assert np.allclose(said["right"], p[1], atol=1e-12)
