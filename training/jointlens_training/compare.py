"""
The method beside its competitors, ablations and controls (method/training, sections 8 to 10): every network alike in data, epochs, batch,
learning rate and seed; thresholds and calibration from the same calibration patients; figures on the same test patients, differences
paired. Leaves results/comparison.json and .md and fills the deltas of results/summary.json. Goes on where it was stopped: a finished arm is
not trained again, a half-finished one goes on.

Three training sets, each a table of its own: `bundled`, the bundled model itself beside competitors trained like it (the deltas of summary.json
speak of that model, so they come from here; all of them learned from what the generator did); `balanced`, fewer of the same patients, for ablations; `clinic`, at the prevalence of a clinic (about
one joint in ten), where imbalance is the problem; both learned from what the simulated readers wrote down. The acceptance bars are printed for all three.
"""
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from . import retrain, train
from .baselines import fold_scores
from .bundle_weights import load_bundle
from .calibrate import calibrate, probability
from .calibration_step import carried_log_odds
from .controls import hide_hand, hide_joints
from .crops import JOINTS, digest, load_crops, pairs_of
from .export import REPOSITORY, sha256
from .frozen import frozen_scores
from .evaluate import RESULTS, Scored, figures, interval, refresh_summary, refuse_shared_patients, rounded, trivial, tuned
from .metrics import auprc, auroc, bootstrap, decisions, ece
from .run_log import command_line, commit_of


@dataclass(frozen=True)
class Knobs:
    bundle: str = str(REPOSITORY / "models" / "hand-joints" / "0.1.0")  # the method of `bundled`
    bundled: str = "runs/v2/train-crops"
    balanced: str = "runs/v2/train-300-crops"
    clinic: str = "runs/v2/natural-300-crops"
    calibration: str = "runs/v2/calibration-crops"
    test: str = "runs/v2/test-crops"
    pretrained: str = "runs/compare/pretrained/encoders.pt"  # of `pretrain`
    clinic_pretrained: str = "runs/compare/pretrained-150/encoders.pt"  # the same, for longer
    out: str = "runs/compare"
    bundled_epochs: int = 22
    balanced_epochs: int = 12
    clinic_epochs: int = 80  # 12 at one swollen joint in ten teach no network much
    batch: int = 8
    clinic_batch: int = 16
    lr: float = 3e-3
    threads: int = 1
    precision: str = "auto"
    seed: int = 1
    only: str = ""  # comma-separated setting/arm to train now; empty: all; none: nothing new
    table: bool = True  # false: train only, so that several processes or machines can share the arms
    repeats: int = 2000
    results: str = str(RESULTS)


SCRATCH = {"loss": "bce", "sampler": "hand", "smooth": 0.0, "pretrained": ""}  # what one would try first
METHOD = {"loss": "logit-adjusted", "sampler": "patient", "smooth": 0.02, "grades": 0.5}  # and `pretrained`
# Training knobs of every network. `retrained` is the method's network with a new classifier.
ARMS = {
    "local-scratch": {**SCRATCH, "branches": "local"},
    "global-scratch": {**SCRATCH, "branches": "global"},
    "both-scratch": SCRATCH,
    "method": METHOD,
    "retrained": METHOD,
    "no-pretraining": {**METHOD, "pretrained": ""},
    "bce": {**METHOD, "loss": "bce", "smooth": 0.0},
    "no-grades": {**METHOD, "grades": 0.0},
    "mix": {**METHOD, "fusion": "mix"},
    "weighted-bce": {**METHOD, "loss": "weighted-bce"},
    "focal": {**METHOD, "loss": "focal"},
    "asymmetric": {**METHOD, "loss": "asymmetric"},
    "ldam": {**METHOD, "loss": "ldam"},
    "aucm": {**METHOD, "loss": "aucm"},
    "positive-sampler": {**METHOD, "sampler": "positive"},
    "mixup": {**METHOD, "mixup": 0.2, "grades": 0.0},
    "local-only": {**METHOD, "branches": "local"},
    "global-only": {**METHOD, "branches": "global"},
    "background": {**METHOD, "control": "background", "grades": 0.0},
    "shuffled": {**METHOD, "control": "shuffled", "grades": 0.0},
}
BASELINES = ("local-scratch", "global-scratch", "both-scratch")
SETTINGS = {"bundled": BASELINES, "balanced": tuple(ARMS), "clinic": (*BASELINES, "method", "retrained", "no-pretraining", "bce", "positive-sampler")}
SINGLE_BRANCHES = ("B4 local only, scratch, BCE, at 0.5", "B5 global only, scratch, BCE, at 0.5")
OURS, HONEST = "**M, the method**", "B7 global and local, scratch, BCE, calibrated, tuned"
# Rows of the table: name, network, how its logits are read.
ROWS = (
    (SINGLE_BRANCHES[0], "local-scratch", "at 0.5"),
    (SINGLE_BRANCHES[1], "global-scratch", "at 0.5"),
    ("B6 global and local, scratch, BCE, at 0.5", "both-scratch", "at 0.5"),
    (HONEST, "both-scratch", "tuned"),
    (OURS, "method", "context"),
    ("M less the hand's other joints", "method", "tuned"),
    ("B7 with the hand's other joints", "both-scratch", "context"),
    ("M less pretraining", "no-pretraining", "context"),
    ("M less imbalance loss (BCE)", "bce", "context"),
    ("M, classifier retrained", "retrained", "context"),
    ("M less the grade head", "no-grades", "context"),
    ("M less global", "local-only", "context"),
    ("M less local", "global-only", "context"),
    ("M, fusion mix", "mix", "context"),
    ("M, weighted BCE", "weighted-bce", "context"),
    ("M, focal", "focal", "context"),
    ("M, asymmetric", "asymmetric", "context"),
    ("M, LDAM with deferred weights", "ldam", "context"),
    ("M, AUC margin", "aucm", "context"),
    ("M, half of the draws with a swollen joint", "positive-sampler", "context"),
    ("M less the grade head, with mixup 0.2", "mixup", "context"),
    ("control: hand hidden in training and test", "background", "tuned"),
    ("control: M, joints hidden in the test", "method/joints-hidden", "tuned"),
    ("control: shuffled labels", "shuffled", "tuned"),
)


def compare(knobs):
    cal, test = load_crops(knobs.calibration), load_crops(knobs.test)
    wanted = {name for name in knobs.only.split(",") if name}
    settings = {}
    for setting, arms in SETTINGS.items():
        shared = shared_knobs(knobs, setting)
        refuse_shared_patients(train=load_crops(shared["data"]), calibration=cal, test=test)
        for arm in arms:
            if not wanted or f"{setting}/{arm}" in wanted:
                train_arm(knobs, setting, arm)
        if not knobs.table:
            continue
        found = {arm: scores_of(knobs, setting, arm, cal, test) for arm in arms if is_there(folder(knobs, setting, arm))}
        if setting == "bundled":
            found["method"] = bundle_scores(knobs, cal, test)
        settings[setting] = describe(shared["data"]) | {"epochs": shared["epochs"], "batch": shared["batch"], "rows": rows_of(knobs, shared, found, cal, test)}
    if not knobs.table:
        return None
    made = {"evidence": "synthetic", "test": describe(knobs.test), "calibration": describe(knobs.calibration),
            "lr": knobs.lr, "seed": knobs.seed, "repeats": knobs.repeats, "command": command_line(), "commit": commit_of(),
            "settings": settings, "deltas": bars(settings["bundled"]["rows"]), "scale": scale_of(settings["bundled"])}
    out = Path(knobs.results)
    out.mkdir(parents=True, exist_ok=True)
    (out / "comparison.json").write_text(json.dumps(rounded(made), indent=2) + "\n")
    (out / "comparison.md").write_text(report(rounded(made)))
    refresh_summary(out)
    print((out / "comparison.md").read_text(), flush=True)
    return made


def folder(knobs, setting, arm):
    return Path(knobs.out) / setting / arm


def shared_knobs(knobs, setting):
    """What all networks of one training set have in common."""
    made = {"data": getattr(knobs, setting), "epochs": getattr(knobs, f"{setting}_epochs"), "batch": knobs.batch, "target": "label", "pretrained": knobs.pretrained}
    if setting == "bundled":
        return made | {"target": "truth"}
    if setting == "clinic":
        return made | {"batch": knobs.clinic_batch, "pretrained": knobs.clinic_pretrained}
    return made


def train_arm(knobs, setting, arm):
    """Trains one network unless it, or what it said, is there already. A folder that holds another recipe is a ValueError."""
    at = folder(knobs, setting, arm)
    wanted = train.Knobs(**{"out": str(at), "lr": knobs.lr, "threads": knobs.threads, "precision": knobs.precision, "seed": knobs.seed, "resume": True,
                            **shared_knobs(knobs, setting), **ARMS[arm]})
    if is_there(at):
        there = recipe_there(at)
        differ = [name for name, value in asdict(wanted).items() if there.get(name) != value and name not in MACHINE]
        if differ and arm != "retrained":
            raise ValueError(f"Expected {at} to hold this recipe but it differs in {', '.join(differ)}; give another folder as --out")
    elif arm == "retrained":
        retrain.retrain(retrain.Knobs(model=str(folder(knobs, setting, "method")), out=str(at), threads=knobs.threads, seed=knobs.seed))
    else:
        train.train(wanted)


# Knobs that say how a machine learned, not what.
MACHINE = ("out", "resume", "threads", "precision")


def is_there(at):
    """An arm is there as its network or, from another machine, as its scores alone."""
    return (at / "model.pt").exists() or (at / "scores.npz").exists()


def recipe_there(at):
    if (at / "model.pt").exists():
        return train.recipe_of(train.load_model(at / "model.pt")[1])
    return train.recipe_of({"knobs": json.loads(str(np.load(at / "scores.npz")["knobs"]))})


def scores_of(knobs, setting, arm, cal, test):
    """
    What one network said, kept in <arm>/scores.npz: {cal, test: logits [N,11], *-joints-hidden, carried: the log-odds that they hold, knobs: its
    recipe, data: digests of the patients}.
    """
    at = folder(knobs, setting, arm)
    data, file = f"{digest(knobs.calibration)} {digest(knobs.test)}", at / "scores.npz"
    if file.exists() and str((kept := np.load(file))["data"]) == data:
        return dict(kept)
    if not (at / "model.pt").exists():
        raise ValueError(f"Expected {file} to speak of the patients of {knobs.calibration} and {knobs.test}, or its network beside it")
    model, saved = train.load_model(at / "model.pt")
    hide = hide_hand if saved["knobs"]["control"] == "background" else None
    made = {**logits_of(model, arm, cal, test, hide), "carried": carried_log_odds(saved), "knobs": json.dumps(saved["knobs"])}
    np.savez(file, data=data, **made)
    return made


def bundle_scores(knobs, cal, test):
    """The same of the bundled network, read from its ONNX file."""
    file, data = Path(knobs.out) / "bundled" / "bundle.npz", f"{digest(knobs.calibration)} {digest(knobs.test)} {sha256((Path(knobs.bundle) / 'model.onnx').read_bytes())}"
    if file.exists() and str((kept := np.load(file))["data"]) == data:
        return dict(kept) | {"carried": 0.0}
    made = logits_of(load_bundle(knobs.bundle)[0], "method", cal, test)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, data=data, **made)
    return made | {"carried": 0.0}


def logits_of(model, arm, cal, test, hide=None):
    made = {"cal": train.predict(model, cal, change=hide), "test": train.predict(model, test, change=hide)}
    if arm == "method":
        made |= {f"{split}-joints-hidden": train.predict(model, crops, change=hide_joints(crops.xy)) for split, crops in (("cal", cal), ("test", test))}
    return made


def rows_of(knobs, shared, found, cal, test):
    """Every row of one training set's table, the paired differences of ours against it included."""
    m, y = test.mask, test.labels[test.mask]
    patients = np.repeat(test.patients[:, None], len(JOINTS), 1)[m]
    scored = {}
    for name, arm, reading in ROWS:
        network, _, change = arm.partition("/")
        if network in found:
            kept, suffix = found[network], f"-{change}" if change else ""
            scored[name] = read(name, kept["cal" + suffix], kept["test" + suffix], kept["carried"], reading, cal, test)
    crops = load_crops(shared["data"])
    others = {"B2 fold features, logistic": fold_scores(crops, cal, test)}
    if Path(shared["pretrained"]).exists():
        others["B3 frozen pretrained features, ridge"] = frozen_scores(shared["pretrained"], crops, cal, test)
    for name, (on_cal, on_test) in others.items():
        scored[name] = (tuned(name, on_cal[cal.mask], cal.labels[cal.mask], on_test[m]), None)
    for row in trivial(cal, test):
        scored[row.name] = (row, None)
    made = {}
    for name, (row, error) in scored.items():
        made[name] = figures(row, y, patients, knobs.repeats) | {"ece": error}
        if OURS in scored and name != OURS:
            made[name]["oursLessThis"] = paired(scored[OURS][0], row, y, patients, knobs.repeats)
    return made


def read(name, cal_logits, test_logits, carried, reading, cal, test):
    """-> (Scored, expected calibration error or None). `at 0.5`: the network's own probability, uncalibrated, a joint counts from 0.5."""
    m, y = test.mask, test.labels
    if reading == "at 0.5":
        return Scored(name, test_logits[m], test_logits[m] >= 0, test_logits[m] >= 0), ece(y[m], 1 / (1 + np.exp(-test_logits[m])))
    try:
        made = calibrate(cal_logits, cal.labels, cal.mask, cal.patients, cal.visits(), "comparison", carried, cal.assessable, reading == "context", pairs_of(cal))
    except ValueError:  # a control's scores need not rise with swelling: it is still tuned and ordered
        return tuned(name, cal_logits[cal.mask], cal.labels[cal.mask], test_logits[m]), None
    p, t = probability(test_logits, made, test.assessable, pairs_of(test))[m], made["thresholds"]
    return Scored(name, p, p >= t["f1"], p >= t["gmean"]), ece(y[m], p)


def paired(ours, other, y, patients, repeats):
    """Ours less the other on the same resampled patients: {f1, gmean, auprc, auroc: {mean, low, high}}."""
    def difference(i):
        at = lambda row: [decisions(y[i], row.f1_flags[i])["f1"], decisions(y[i], row.gmean_flags[i])["gmean"], auprc(y[i], row.score[i]), auroc(y[i], row.score[i])]
        return np.subtract(at(ours), at(other))
    low, high = bootstrap(difference, patients, repeats)
    return {key: {"mean": float(mean), "low": float(a), "high": float(b)}
            for key, mean, a, b in zip(("f1", "gmean", "auprc", "auroc"), difference(np.arange(len(y))), low, high)}


def bars(rows):
    """The fields of summary.json that a comparison fills; None where an arm is missing."""
    singles = [rows[name]["oursLessThis"] for name in SINGLE_BRANCHES if "oursLessThis" in rows.get(name, {})]
    honest = rows.get(HONEST, {}).get("oursLessThis")
    whole = len(singles) == len(SINGLE_BRANCHES)  # the best single branch is the one that leaves least
    return {"deltaF1SingleBranch": min(row["f1"]["mean"] for row in singles) if whole else None,
            "deltaGmeanSingleBranch": min(row["gmean"]["mean"] for row in singles) if whole else None,
            "deltaF1Tuned": honest and honest["f1"], "deltaAuprcTuned": honest and honest["auprc"]}


def describe(data):
    crops = load_crops(data)
    return {"patients": int(len(np.unique(crops.patients))), "hands": len(crops), "joints": int(crops.mask.sum()),
            "positiveRate": float(crops.labels[crops.mask].mean()), "sha256": digest(data)}


def scale_of(data):
    return (f"the bundled model beside competitors trained alike on {data['patients']} patients ({data['hands']} hands, {data['positiveRate']:.1%} of joints swollen), "
            f"{data['epochs']} epochs, one seed")


def report(made):
    """Markdown; every figure from comparison.json."""
    lines = ["# The method beside its competitors, ablations and controls", "",
             "**Computer-made hands only: these figures say nothing about accuracy in patients.** The bundled model has a table of its own (evaluation.md).", "",
             f"Every network: learning rate {made['lr']}, seed {made['seed']}. Calibrated and tuned on "
             f"{made['calibration']['patients']} patients, tested on {made['test']['patients']} others ({made['test']['joints']} joints, {made['test']['positiveRate']:.1%} swollen). "
             f"95 % intervals from {made['repeats']} patient bootstraps; differences are paired. ECE: expected calibration error.", "",
             *bar_lines(made["settings"])]
    for setting, part in made["settings"].items():
        lines += ["", f"## Trained on {part['patients']} patients, {part['hands']} hands, {part['positiveRate']:.1%} of joints swollen, {part['epochs']} epochs, batch {part['batch']} ({setting})", "",
                  "| | AUROC | AUPRC | F1 | G-mean | ECE | M less this: F1 | M less this: AUPRC |", "|---|---|---|---|---|---|---|---|"]
        for name, row in part["rows"].items():
            less = row.get("oursLessThis")
            cells = [interval(row[key]) for key in ("auroc", "auprc", "f1", "gmean")] + ["-" if row["ece"] is None else f"{row['ece']:.3f}"]
            lines.append(f"| {name} | " + " | ".join(cells + [signed(less and less[key]) for key in ("f1", "auprc")]) + " |")
    missing = [f"{name} ({setting})" for setting, part in made["settings"].items() for name, arm, _ in ROWS
               if name not in part["rows"] and arm.split("/")[0] in SETTINGS[setting]]
    lines += ["", "M: encoders pretrained without labels (SimSiam, healthy hands), both branches, fusion `paper`, logit-adjusted loss, smoothed negatives, calibrated "
              "with the hand's other joints, thresholds tuned; in `bundled` it is the bundled network, which was not pretrained. Grades for its second head come from the generator. At 0.5: the network's own probability, a joint counts from 0.5.", "",
              "A control that knows nothing of the hand still knows which joints swell more often: its AUROC is to be read beside the row `per-joint prevalence`.", "",
              "Not run yet: " + (", ".join(missing) if missing else "nothing") + ".", "",
              f"Made by `{made['command']}`.", ""]
    return "\n".join(lines)


def bar_lines(settings):
    """The acceptance bars of method/training, section 10, for each training set: figure, bar, reached or not."""
    lines = ["| bar | " + " | ".join(settings) + " |", "|---|" + "---|" * len(settings)]
    found = {name: bars(part["rows"]) for name, part in settings.items()}
    for text, key, value, bar in (("F1 at least 0.20 over the best single branch at 0.5", "deltaF1SingleBranch", lambda x: x, 0.20),
                                  ("G-mean at least 0.25 over the best single branch at 0.5", "deltaGmeanSingleBranch", lambda x: x, 0.25),
                                  ("F1 over B7, lower bound above 0", "deltaF1Tuned", lambda x: x["low"], 0.0),
                                  ("AUPRC over B7, lower bound above 0", "deltaAuprcTuned", lambda x: x["low"], 0.0)):
        cells = []
        for delta in (part[key] for part in found.values()):
            said = "reached" if delta is not None and (value(delta) >= bar if bar else value(delta) > 0) else "**not reached**"
            cells.append("not measured" if delta is None else f"{signed(delta)} {said}")
        lines.append(f"| {text} | " + " | ".join(cells) + " |")
    return lines


def signed(delta):
    if not delta and delta != 0:
        return "-"
    return f"{delta:+.3f}" if isinstance(delta, float) else f"{delta['mean']:+.3f} ({delta['low']:+.3f} to {delta['high']:+.3f})"
