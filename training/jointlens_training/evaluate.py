"""
Held-out figures beside trivial baselines, with patient-bootstrap intervals: results/summary.json (fields of `npm run evaluate`) and
results/evaluation.md. What was not measured is null, with a note. Judges a training run (`--model`) or, as anybody can do again, a bundle as it
ships with the calibration in its manifest (`--bundle`); the trivial baselines then learn from the calibration patients.
"""
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .altered import altered, altered_table
from .baselines import background_control, background_scores, colour_scores, within_joint_auroc
from .bundle_weights import load_bundle
from .calibrate import choose_thresholds, probability
from .controls import hide_hand
from .crops import GROUPS, JOINTS, digest, joint_prevalence, load_crops, pairs_of
from .metrics import agreement, auprc, auroc, bootstrap, brier, calibration_line, counts, decisions, ece
from .run_log import command_line, commit_of
from .train import load_model, predict

RESULTS = Path(__file__).parents[1] / "results"
ENOUGH_POSITIVES = 20  # fewer: "not evaluable" (method/clinical, section 6)
NOT_EVALUABLE = "not evaluable"
TONES = {"Monk 1-3": (1, 3), "Monk 4-6": (4, 6), "Monk 7-10": (7, 10)}
AGES = {"20 to 39 years": (20, 39), "40 to 59 years": (40, 59), "60 years and more": (60, 120)}


@dataclass(frozen=True)
class Knobs:
    train: str = "runs/v2/train-crops"
    calibration: str = "runs/v2/calibration-crops"
    test: str = "runs/v2/test-crops"
    model: str = "runs/v2/model"
    bundle: str = ""  # a bundle instead of train and model
    backgrounds: str = ""  # crops of test patients on other backgrounds (generate.ts --backgrounds)
    special: str = ""  # what is special about the test patients, for the heading
    repeats: int = 2000
    results: str = str(RESULTS)


@dataclass(frozen=True)
class Scored:
    """One competitor on the test hands. score orders joints; flags are decisions at t_F1 and t_G of the calibration patients."""

    name: str
    score: np.ndarray  # [M]
    f1_flags: np.ndarray
    gmean_flags: np.ndarray


def evaluate(knobs):
    model, training, calibration, sha256 = subject(knobs)
    cal, test = load_crops(knobs.calibration), load_crops(knobs.test)
    train = cal if knobs.bundle else load_crops(knobs.train)
    refuse_shared_patients(calibration=cal, test=test, **({} if knobs.bundle else {"train": train}))
    m, y = test.mask, test.labels
    logits = predict(model, test)
    p = probability(logits, calibration, test.assessable, pairs_of(test))
    patients = np.repeat(test.patients[:, None], len(JOINTS), 1)[m]
    ours = Scored("**this model**", p[m], p[m] >= calibration["thresholds"]["f1"], p[m] >= calibration["thresholds"]["gmean"])
    colour = colour_scores(train, cal, test)
    background = background_scores(train, cal, test)
    rows = [ours, *trivial(cal, test, colour, background)]
    print(f"{len(test)} test hands, {m.sum()} joints; intervals from {knobs.repeats} patient bootstraps", flush=True)
    table = [figures(row, y[m], patients, knobs.repeats) for row in rows]
    blanked = predict(model, test, change=hide_hand)
    learned = of_the_training(knobs, training) if knobs.bundle else train
    control = background_control(*([learned] if learned else []), cal, test)
    visit = counts(y, p, m, test.visits(), calibration["thresholds"]["f1"], calibration["interval"]["factor"])
    part = lambda key, bands: by_part(test, key, bands, m, ours, patients, knobs.repeats)
    tones = part("skinTone", TONES)
    main = table[0]
    gaps = [t["auroc"] for t in tones.values() if t != NOT_EVALUABLE]
    summary = {
        "data": {"patients": int(len(np.unique(test.patients))), "hands": len(test), "joints": int(m.sum()), "positives": int(y[m].sum()),
                 "positiveRate": float(y[m].mean()), "readerKappa": reader_kappa(test), "evidence": "synthetic", "sha256": digest(knobs.test)},
        "model": {key: main[key]["value"] for key in ("auroc", "auprc", "f1", "gmean")},
        "modelIntervals": {key: main[key] for key in ("auroc", "auprc", "f1", "gmean", "sensitivity", "specificity", "ppv", "npv")},
        "modelAgainstTruth": figures(Scored("truth", ours.score, ours.f1_flags, ours.gmean_flags), test.truth[m], patients, knobs.repeats),
        "baselines": {row["name"]: row for row in table[1:]},
        "ece": ece(y[m], p[m]), "brier": brier(y[m], p[m]), "calibrationLine": dict(zip(("slope", "intercept"), calibration_line(y[m], p[m]))),
        "mcc": decisions(y[m], ours.f1_flags)["mcc"],
        "countIntervalCoverage": float(np.mean((visit["true"] >= visit["low"]) & (visit["true"] <= visit["high"]))),
        "count": count_figures(visit),
        "backgroundAuroc": control["auroc"], "backgroundControl": {**control, "onTestPatientsAlone": within_joint_auroc(y, background[1], m)},
        "hiddenHandAuroc": within_joint_auroc(y, blanked, m),
        "altered": altered(model, test, calibration, load_crops(knobs.backgrounds) if knobs.backgrounds else None),
        "skinToneMaxAurocGap": float(max(gaps) - min(gaps)) if len(gaps) > 1 else None,
        "perGroup": {name: slice_figures(y, p, m, test, np.isin(JOINTS, joints), ours, calibration, knobs.repeats) for name, joints in GROUPS.items()},
        "perJoint": {name: slice_figures(y, p, m, test, np.array(JOINTS) == name, ours, calibration, knobs.repeats) for name in JOINTS},
        "perSkinTone": tones, "perAge": part("age", AGES), "perSex": part("sex", None), "perMesh": part("mesh", None),
        "slices": hard_slices(test, p, m, calibration), "unread": unread(knobs.test, test),
        **of_other_steps(Path(knobs.results), network_key(training, calibration)),
        "modelSha256": sha256, "calibration": calibration,
        "training": training, "evaluation": {"command": command_line(), "commit": commit_of()},
    }
    summary["notes"] = notes(summary)
    if knobs.special:
        summary["data"]["special"] = knobs.special
    out = Path(knobs.results)
    out.mkdir(parents=True, exist_ok=True)
    summary = {**rounded(summary), "calibration": calibration}
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (out / "evaluation.md").write_text(report(summary, table))
    print((out / "evaluation.md").read_text(), flush=True)
    return summary


def subject(knobs):
    """-> (network, how it was trained, its calibration, SHA-256 of its file: model.pt of a run, manifest.json of a bundle)."""
    hashed = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    if knobs.bundle:
        model, manifest = load_bundle(knobs.bundle)
        return model, manifest["training"], manifest["calibration"], hashed(Path(knobs.bundle) / "manifest.json")
    folder = Path(knobs.model)
    model, saved = load_model(folder / "model.pt")
    return model, saved["training"], json.loads((folder / "calibration.json").read_text()), hashed(folder / "model.pt")


def of_the_training(knobs, training):
    """The crops a bundle learned from, where they are; None where they are not: their patients make the background control surer."""
    there = (Path(knobs.train) / "index.jsonl").exists()
    return load_crops(knobs.train) if there and digest(knobs.train) == training.get("dataSha256") else None


def refuse_shared_patients(**folders):
    """Raises ValueError when a patient is in two of the folders."""
    names = list(folders)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            shared = set(folders[a].patients) & set(folders[b].patients)
            if shared:
                raise ValueError(f"Expected no patient in both {a} and {b} but received {len(shared)}, such as {sorted(shared)[0]}")


def trivial(cal, test, colour=None, background=None):
    """Baselines whose thresholds, like ours, come from the calibration patients."""
    m, n = test.mask, test.mask.sum()
    never, always = np.zeros(n, bool), np.ones(n, bool)
    prior = joint_prevalence(cal.labels, cal.mask)
    rate = cal.labels[cal.mask].mean()
    chance = np.random.default_rng(1).random(n)
    rows = [Scored("always negative", np.zeros(n), never, never), Scored("always positive", np.zeros(n), always, always),
            Scored("random at prevalence", chance, chance < rate, chance < rate)]
    for name, on_cal, on_test in (("per-joint prevalence", np.broadcast_to(prior, cal.mask.shape), np.broadcast_to(prior, m.shape)),
                                  *((name, *scores) for name, scores in (("redness only, logistic", colour), ("background only, logistic", background)) if scores)):
        rows.append(tuned(name, on_cal[cal.mask], cal.labels[cal.mask], on_test[m]))
    return rows


def tuned(name, cal_score, cal_labels, test_score):
    """Thresholds chosen on the calibration joints, used on the test joints. Scores of any range."""
    squash = lambda s: 1 / (1 + np.exp(-np.clip(s, -30, 30))) / 2  # below 0.5, so that the cap of choose_thresholds never bites
    t = choose_thresholds(squash(cal_score), cal_labels)
    return Scored(name, test_score, squash(test_score) >= t["f1"], squash(test_score) >= t["gmean"])


def figures(row, y, patients, repeats):
    """Every figure with its 95 % patient-bootstrap interval: {name, auroc: {value, low, high}, ...}."""
    def values(i):
        at_f1 = decisions(y[i], row.f1_flags[i])
        return [auroc(y[i], row.score[i]), auprc(y[i], row.score[i]), at_f1["f1"], decisions(y[i], row.gmean_flags[i])["gmean"],
                at_f1["gmean"], at_f1["sensitivity"], at_f1["specificity"], at_f1["ppv"], at_f1["npv"]]
    names = ("auroc", "auprc", "f1", "gmean", "gmeanAtF1", "sensitivity", "specificity", "ppv", "npv")
    low, high = bootstrap(values, patients, repeats)
    return {"name": row.name, **{name: {"value": v, "low": float(a), "high": float(b)}
                                 for name, v, a, b in zip(names, values(np.arange(len(y))), low, high)}}


def slice_figures(y, p, m, test, joints, ours, calibration, repeats):
    """Figures of some joints (bool [11]) or NOT_EVALUABLE."""
    seen = m & joints[None]
    if y[seen].sum() < ENOUGH_POSITIVES:
        return NOT_EVALUABLE
    patients = np.repeat(test.patients[:, None], len(JOINTS), 1)[seen]
    q = p[seen]
    row = Scored(ours.name, q, q >= calibration["thresholds"]["f1"], q >= calibration["thresholds"]["gmean"])
    made = figures(row, y[seen], patients, min(repeats, 500))
    return {"joints": int(seen.sum()), "positives": int(y[seen].sum()), "auroc": made["auroc"]["value"], "aurocLow": made["auroc"]["low"],
            "aurocHigh": made["auroc"]["high"], "f1": made["f1"]["value"], "gmean": made["gmean"]["value"],
            "sensitivity": made["sensitivity"]["value"], "specificity": made["specificity"]["value"], "ece": ece(y[seen], q)}


def by_part(test, key, bands, m, ours, patients, repeats):
    """Figures of the hands whose row says `key`: within each of bands {name: (least, most)}, or of each value where bands is None."""
    said = [row.get(key) for row in test.rows]
    if bands is None:
        inside = {str(value): np.array([value == other for other in said]) for value in sorted({value for value in said if value is not None}, key=str)}
    else:
        inside = {name: np.array([value is not None and low <= value <= high for value in said]) for name, (low, high) in bands.items()}
    y = test.labels[m]
    found = {}
    for name, hands in inside.items():
        i = np.flatnonzero(np.repeat(hands[:, None], len(JOINTS), 1)[m])
        if y[i].sum() < ENOUGH_POSITIVES:
            found[name] = NOT_EVALUABLE
            continue
        made = figures(Scored(name, ours.score[i], ours.f1_flags[i], ours.gmean_flags[i]), y[i], patients[i], min(repeats, 500))
        found[name] = {"joints": int(len(i)), "positives": int(y[i].sum()), "auroc": made["auroc"]["value"], "aurocLow": made["auroc"]["low"],
                       "aurocHigh": made["auroc"]["high"], "f1": made["f1"]["value"], "gmean": made["gmean"]["value"],
                       "sensitivity": made["sensitivity"]["value"], "specificity": made["specificity"]["value"], "ece": ece(y[i], ours.score[i])}
    return found


def unread(folder, test):
    """What never reached the network: {photos, notLocated (share of them), reasons, jointsMasked (share of the joints of located hands)}."""
    file = Path(folder) / "missing.jsonl"
    reasons = [json.loads(line)["reason"] for line in file.read_text().splitlines() if line.strip()] if file.exists() else []
    photos = len(test) + len(reasons)
    return {"photos": photos, "notLocated": len(reasons) / photos, "reasons": {reason: reasons.count(reason) for reason in sorted(set(reasons))},
            "jointsMasked": float(1 - test.assessable.mean())}


def hard_slices(test, p, m, calibration):
    """Sensitivity by swelling grade and false alarms by confounder, at t_F1, against what the generator did."""
    flagged = p >= calibration["thresholds"]["f1"]
    grade = np.array([[row["joints"][j].get("swelling") or 0 for j in JOINTS] for row in test.rows])
    red = np.array([[row["joints"][j].get("erythema") or 0 for j in JOINTS] for row in test.rows]) > 0
    node = np.array([[(row.get("confounders") or {}).get("nodes", {}).get(j, 0) > 0 for j in JOINTS] for row in test.rows])
    plain = (grade == 0) & ~red & ~node
    share = lambda where: {"joints": int((where & m).sum()), "flagged": float(flagged[where & m].mean()) if (where & m).any() else None}
    found = {"swelling grade 1": share(grade == 1), "swelling grade 2": share(grade == 2), "swelling grade 3": share(grade == 3),
             "not swollen, plain": share(plain), "not swollen, erythema": share((grade == 0) & red), "not swollen, bony node": share((grade == 0) & node)}
    for name, where in confounded(test).items():
        found[f"not swollen, {name}"] = share((grade == 0) & where)
    return found


STRONG = 0.6  # of a confounder that every hand has to some degree, 0..1


def confounded(test):
    """
    {confounder in words: bool [N,11]} of what the rows name beside nodes and redness: joints where a confounder names joints, else every joint
    of a hand that has it (of one by degrees: from STRONG on).
    """
    found = {}
    for key in sorted({key for row in test.rows for key in (row.get("confounders") or {})} - {"nodes", "erythemaWithoutSwelling", "folds"}):
        values = [(row.get("confounders") or {}).get(key) for row in test.rows]
        if any(isinstance(value, (dict, list)) for value in values):
            where = np.array([[joint in (value or ()) for joint in JOINTS] for value in values])
        else:
            has = lambda value: value >= STRONG if isinstance(value, (int, float)) and not isinstance(value, bool) else bool(value)
            where = np.repeat(np.array([value is not None and has(value) for value in values])[:, None], len(JOINTS), 1)
        if where.any():
            found["".join(f" {letter.lower()}" if letter.isupper() else letter for letter in key)] = where
    return found


def count_figures(visit):
    error = visit["suggested"] - visit["true"]
    bands = {"0": (0, 0), "1-3": (1, 3), "4-7": (4, 7), "8+": (8, 22)}
    inside = lambda low, high: (visit["true"] >= low) & (visit["true"] <= high)
    return {"visits": int(len(error)), "meanAbsoluteError": float(np.abs(error).mean()), "bias": float(error.mean()),
            "meanIntervalWidth": float((visit["high"] - visit["low"]).mean()), "icc": agreement(visit["suggested"], visit["true"]),
            "biasByTrueCount": {name: {"visits": int(inside(*band).sum()), "bias": float(error[inside(*band)].mean()) if inside(*band).any() else None}
                                for name, band in bands.items()}}


def reader_kappa(test):
    """Cohen's kappa of the two readers in the index, or None."""
    pairs = [row["joints"][j].get("readers") for row in test.rows for j in JOINTS]
    pairs = np.array([pair for pair in pairs if pair and len(pair) == 2], float)
    if len(pairs) == 0:
        return None
    a, b = pairs.mean(0)
    chance = a * b + (1 - a) * (1 - b)
    return float(((pairs[:, 0] == pairs[:, 1]).mean() - chance) / (1 - chance)) if chance < 1 else None


TRANSFER_FILE = "transfer.json"


def network_key(training, calibration):
    """SHA-256 in hex of what makes a network and its probabilities what they are; the same for a model.pt and the bundle exported from it."""
    parts = [training.get(name) for name in ("command", "seed", "commit", "dataSha256")]
    return hashlib.sha256(json.dumps([parts, calibration], sort_keys=True).encode()).hexdigest()


def of_other_steps(results, key):
    """Fields that `compare`, `few-shot` and `transfer` measured, at the scale they say, or None for each. A transfer of another network is none."""
    read = lambda name: json.loads((results / name).read_text()) if (results / name).exists() else None
    compared, few, moved = read("comparison.json"), read("few-shot.json"), read(TRANSFER_FILE)
    moved = moved if moved and moved["network"] == key else None
    empty = dict.fromkeys(("deltaF1SingleBranch", "deltaGmeanSingleBranch", "deltaF1Tuned", "deltaAuprcTuned"))
    return {**(compared["deltas"] if compared else empty), "fewShot": few and few["fewShot"],
            **{name: moved and moved[name] for name in ("transferAuroc", "transferFalseAlarms")},
            "scales": {name: made["scale"] for name, made in (("deltas", compared), ("fewShot", few), ("transfer", moved)) if made}}


def notes(summary):
    why = {
        "deltaF1SingleBranch": "`compare` was not run", "deltaGmeanSingleBranch": "`compare` was not run",
        "deltaF1Tuned": "`compare` was not run", "deltaAuprcTuned": "`compare` was not run",
        "transferAuroc": "`transfer` was not run with this model on hands of another maker",
        "transferFalseAlarms": "`transfer` was not run with this model on untouched real photographs",
        "fewShot": "`few-shot` was not run",
        "skinToneMaxAurocGap": f"fewer than two skin-tone groups have {ENOUGH_POSITIVES} positive joints",
    }
    return {key: text for key, text in why.items() if summary.get(key) is None}


def refresh_summary(results):
    """Puts newer figures of `compare`, `few-shot` and `transfer` into a summary that stands; none is made where there is none."""
    file = Path(results) / "summary.json"
    if not file.exists():
        return
    there = json.loads(file.read_text())
    summary = {**there, **of_other_steps(Path(results), network_key(there["training"], there["calibration"]))}
    file.write_text(json.dumps({**summary, "notes": notes(summary)}, indent=2) + "\n")


def rounded(value):
    """Floats to 4 places, not-a-number to null, all the way down."""
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    if isinstance(value, (float, np.floating)):
        return None if np.isnan(value) else round(float(value), 4)
    return value


def report(summary, table):
    data = summary["data"]
    lines = [
        "# Held-out figures of the bundled model" + (f": {data['special']}" if "special" in data else ""), "",
        "**Computer-made hands only: these figures say nothing about accuracy in patients.**", "",
        *([f"**Too few to say: {data['positives']} swollen joints of {data['patients']} patients (at least {ENOUGH_POSITIVES}); intervals of so few are chance too.**", ""]
          if data["positives"] < ENOUGH_POSITIVES else []),
        f"{data['patients']} synthetic patients never seen in training or calibration, {data['hands']} hands, {data['joints']} joints, "
        f"{data['positiveRate']:.1%} swollen by the simulated readers' label"
        + (f" (their kappa: {data['readerKappa']:.2f})" if data["readerKappa"] is not None else "") + ". 95 % intervals from patient bootstraps.",
        "F1 at the threshold for counts, G-mean at its own; both chosen on the calibration patients, for the baselines too.", "",
        "| | AUROC | AUPRC | F1 | G-mean |", "|---|---|---|---|---|",
        *[f"| {row['name']} | " + " | ".join(interval(row[key]) for key in ("auroc", "auprc", "f1", "gmean")) + " |" for row in table], "",
        "Against what the generator did instead of the readers' label: "
        + ", ".join(f"{name} {interval(summary['modelAgainstTruth'][key])}" for name, key in
                    (("AUROC", "auroc"), ("AUPRC", "auprc"), ("F1", "f1"), ("G-mean", "gmean"))) + ".", "",
        f"Calibration: ECE {summary['ece']:.3f}, Brier {summary['brier']:.3f}, slope {summary['calibrationLine']['slope']:.2f}, intercept {summary['calibrationLine']['intercept']:+.2f}; "
        f"MCC at the count threshold {summary['mcc']:.3f}. Count per visit ({summary['count']['visits']} visits): mean absolute error "
        f"{summary['count']['meanAbsoluteError']:.2f}, bias {summary['count']['bias']:+.2f}; the 90 % interval holds the true count in "
        f"{summary['countIntervalCoverage']:.1%}, mean width {summary['count']['meanIntervalWidth']:.1f}; agreement with the true count ICC {summary['count']['icc']:.2f}. Bias by true count: "
        + "; ".join(f"{name}: {band['bias']:+.1f} ({band['visits']} visits)" for name, band in summary["count"]["biasByTrueCount"].items() if band["bias"] is not None) + ".", "",
        f"Not read: {summary['unread']['notLocated']:.1%} of {summary['unread']['photos']} photos"
        + "".join(f", {reason} {count}" for reason, count in summary["unread"]["reasons"].items()) + f"; {summary['unread']['jointsMasked']:.1%} of the joints of located hands.", "",
        f"Controls, mean AUROC within joints: background only {summary['backgroundAuroc']:.3f} ({summary['backgroundControl']['low']:.3f} to {summary['backgroundControl']['high']:.3f}; "
        f"cross-validated over all {summary['backgroundControl']['patients']} patients; with their labels dealt anew {summary['backgroundControl']['chance'][0]:.3f} to {summary['backgroundControl']['chance'][1]:.3f}; on the test patients alone {summary['backgroundControl']['onTestPatientsAlone']:.3f}); this model with the hand hidden {summary['hiddenHandAuroc']:.3f} (0.5 is chance).", "",
        *altered_table(summary["altered"]),
        *parts_table("Joint group", summary["perGroup"]), *parts_table("Joint", summary["perJoint"]), *parts_table("Skin tone", summary["perSkinTone"]),
        *parts_table("Age", summary["perAge"]), *parts_table("Sex", summary["perSex"]), *parts_table("Mesh", summary["perMesh"]),
        "| flagged at the count threshold, against what the generator did | joints | flagged |", "|---|---|---|",
        *[f"| {name} | {part['joints']} | {'-' if part['flagged'] is None else format(part['flagged'], '.1%')} |" for name, part in summary["slices"].items()], "",
        "Not measured: " + ("; ".join(f"{key} ({why})" for key, why in summary["notes"].items()) or "nothing") + ".", "",
        f"Made by `{summary['evaluation']['command']}`; trained by `{summary['training']['command']}`.", ""]
    return "\n".join(lines)


def interval(figure):
    if figure["value"] is None or np.isnan(figure["value"]):
        return "-"
    within = "" if figure["low"] is None else f" ({figure['low']:.3f} to {figure['high']:.3f})"
    return f"{figure['value']:.3f}{within}"


def parts_table(heading, parts):
    if not parts:
        return []
    lines = [f"| {heading} | joints (positive) | AUROC | F1 | G-mean | sensitivity | specificity |", "|---|---|---|---|---|---|---|"]
    for name, part in parts.items():
        if part == NOT_EVALUABLE:
            lines.append(f"| {name} | | {NOT_EVALUABLE} | | | | |")
        else:
            lines.append(f"| {name} | {part['joints']} ({part['positives']}) | {interval({'value': part['auroc'], 'low': part['aurocLow'], 'high': part['aurocHigh']})} | "
                         f"{part['f1']:.3f} | {part['gmean']:.3f} | {part['sensitivity']:.3f} | {part['specificity']:.3f} |")
    return [*lines, ""]
