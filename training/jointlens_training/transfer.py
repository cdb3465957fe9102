"""
What a network says of hands from makers that its training never saw: another mesh and textures, swelling edited into real photographs
(synthetic/implant.ts), the same photographs untouched. No label of these sets is used for anything but the figures: no calibration, no
threshold, no stopping point. Leaves results/transfer.json and .md and fills `transferAuroc` and `transferFalseAlarms` of results/summary.json
where it speaks of the same network and calibration.
"""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .baselines import within_joint_auroc
from .calibrate import probability
from .crops import GROUPS, JOINTS, digest, load_crops, pairs_of
from .evaluate import ENOUGH_POSITIVES, NOT_EVALUABLE, RESULTS, TRANSFER_FILE, interval, network_key, refresh_summary, refuse_shared_patients, rounded, subject, unread
from .evaluate import Knobs as EvaluateKnobs
from .export import REPOSITORY
from .metrics import auroc, bootstrap
from .run_log import command_line, commit_of
from .train import predict

SPECIFICITY = 0.9  # of the second threshold, on the calibration patients (method/synthetic)
FEW_PEOPLE = 10  # below it a patient bootstrap says little, and the table says so
GRADES = (1, 2, 3)


@dataclass(frozen=True)
class Knobs:
    model: str = str(REPOSITORY / "models" / "hand-joints" / "0.1.0")  # a bundle, or a folder with model.pt and calibration.json
    calibration: str = "runs/v2/calibration-crops"  # crops of the synthetic patients that the model was calibrated on
    implants: str = ""  # crops of swelling edited into real photos
    untouched: str = ""  # crops of the same photos, unedited
    renderer: str = ""  # crops of another renderer, or of a mesh and textures kept from training
    set: tuple = ()  # NAME=FOLDER, any number: further makers
    repeats: int = 2000
    results: str = str(RESULTS)


def transfer(knobs):
    """-> what stands in transfer.json. ValueError without a set, for one that training saw, or one that shares a patient with calibration."""
    model, training, calibration, gates, sha = network(knobs.model)
    sets = {name: load_crops(folder) for name, folder in folders_of(knobs).items()}
    cal = load_crops(knobs.calibration)
    for name, crops in sets.items():
        refuse_shared_patients(calibration=cal, **{name: crops})
        if digest(crops.folder) == training.get("dataSha256"):
            raise ValueError(f"Expected hands that training never saw but {name} is what the network was trained on")
    thresholds = {"count (F1)": calibration["thresholds"]["f1"], "G-mean": calibration["thresholds"]["gmean"],
                  f"{SPECIFICITY:.0%} specificity on calibration": threshold_at(SPECIFICITY, probabilities(model, cal, calibration)[cal.mask], cal.truth[cal.mask])}
    found = {name: figures_of(crops, probabilities(model, crops, calibration), thresholds, gates, knobs.repeats) for name, crops in sets.items()}
    made = {"network": network_key(training, calibration), "modelSha256": sha, "model": Path(knobs.model).name, "thresholds": thresholds,
            "calibration": {"patients": int(len(np.unique(cal.patients))), "sha256": digest(knobs.calibration)},
            "repeats": knobs.repeats, "command": command_line(), "commit": commit_of(), **headline(found), "sets": found}
    out = Path(knobs.results)
    out.mkdir(parents=True, exist_ok=True)
    made = rounded(made)
    (out / TRANSFER_FILE).write_text(json.dumps(made, indent=2) + "\n")
    (out / TRANSFER_FILE.replace(".json", ".md")).write_text(report(made))
    refresh_summary(out)
    print(report(made), flush=True)
    return made


def folders_of(knobs):
    """{name: folder} of every set that was given, in the order of the table. ValueError for none, or for a name given twice."""
    named = [tuple(text.partition("=")[::2]) for text in knobs.set]
    if wrong := [name or folder for name, folder in named if not name or not folder]:
        raise ValueError(f"Expected --set NAME=FOLDER but received {wrong[0]}")
    given = [(name, folder) for name, folder in (("implants", knobs.implants), ("untouched", knobs.untouched), ("renderer", knobs.renderer)) if folder] + named
    if not given:
        raise ValueError("Expected --implants, --untouched, --renderer or --set NAME=FOLDER but received none")
    if len(dict(given)) < len(given):
        raise ValueError(f"Expected every set to have a name of its own but received {', '.join(name for name, _ in given)}")
    return dict(given)


def network(folder):
    """-> (model, training, calibration, gates or None, SHA-256 of its file) of a bundle or of a run."""
    manifest = Path(folder) / "manifest.json"
    if not manifest.exists():
        model, training, calibration, sha = subject(EvaluateKnobs(model=folder))
        return model, training, calibration, None, sha
    model, training, calibration, sha = subject(EvaluateKnobs(bundle=folder))
    return model, training, calibration, json.loads(manifest.read_text())["gates"], sha


def probabilities(model, crops, calibration):
    return probability(predict(model, crops), calibration, crops.assessable, pairs_of(crops))


def threshold_at(specificity, p, y):
    """Least threshold below which lie at least that share of the joints that are not swollen."""
    healthy = np.sort(p[y == 0])
    return float(np.nextafter(healthy[int(np.ceil(specificity * len(healthy))) - 1], 1))


def figures_of(crops, p, thresholds, gates, repeats):
    """All figures of one set, against what its maker did. p [N,11]."""
    m, y, grade = crops.mask, crops.truth, np.nan_to_num(crops.grades)
    patients = np.repeat(crops.patients[:, None], len(JOINTS), 1)
    part = lambda where: auroc_of(y[where], p[where], patients[where], repeats)
    healthy = m & (y == 0)
    readable = np.repeat(np.array([passes(row.get("quality"), gates) for row in crops.rows])[:, None], len(JOINTS), 1)
    return {
        "patients": int(len(np.unique(crops.patients))), "hands": len(crops), "sources": len({row.get("source", row["photo"]) for row in crops.rows}),
        "joints": int(m.sum()), "positives": int(y[m].sum()), "sha256": digest(crops.folder), "unread": unread(crops.folder, crops),
        "auroc": part(m), "withinJointsAuroc": within_joint_auroc(y, p, m) if 0 < y[m].sum() < m.sum() else None,
        "perGrade": {str(g): part(m & ((grade == g) | (y == 0))) for g in GRADES} if y[m].any() else {},
        "perGroup": {name: part(m & np.isin(JOINTS, joints)[None]) for name, joints in GROUPS.items()} if y[m].any() else {},
        "sensitivity": {name: share(p, m & (y == 1), t) for name, t in thresholds.items()},
        "falseAlarms": {name: share(p, healthy, t) for name, t in thresholds.items()},
        "falseAlarmsPerGroup": {name: {group: share(p, healthy & np.isin(JOINTS, joints)[None], t) for group, joints in GROUPS.items()} for name, t in thresholds.items()},
        "gates": gates and {"handsPassing": int(readable[:, 0].sum()), "auroc": part(m & readable),
                            "falseAlarms": {name: share(p, healthy & readable, t) for name, t in thresholds.items()}},
    }


def auroc_of(y, p, patients, repeats):
    """{value, low, high, positives, patients} or NOT_EVALUABLE."""
    if y.sum() < ENOUGH_POSITIVES or y.all():
        return NOT_EVALUABLE
    low, high = bootstrap(lambda i: auroc(y[i], p[i]), patients, repeats)
    return {"value": auroc(y, p), "low": float(low), "high": float(high), "positives": int(y.sum()), "patients": int(len(np.unique(patients)))}


def share(p, where, threshold):
    return float((p[where] >= threshold).mean()) if where.any() else None


def passes(quality, gates):
    """Would the service read this hand? Rows without quality count as read."""
    return not gates or not quality or (quality["sharpness"] >= gates["minSharpness"] and gates["minBrightness"] <= quality["brightness"] <= gates["maxBrightness"]
                                        and quality["presence"] >= gates["handPresence"])


def headline(found):
    """
    The fields of summary.json. AUROC: of the maker with the lowest, so that an easy one cannot hide a hard one. False alarms: of the set
    `untouched`, at the threshold with 90 % specificity on the calibration patients.
    """
    judged = {name: part["auroc"]["value"] for name, part in found.items() if part["auroc"] != NOT_EVALUABLE}
    worst = min(judged, key=judged.get) if judged else None
    untouched = found.get("untouched")
    return {"transferAuroc": judged.get(worst), "transferFalseAlarms": untouched and untouched["falseAlarms"][f"{SPECIFICITY:.0%} specificity on calibration"],
            "scale": "; ".join([*(f"{name}: {auroc:.3f}, {found[name]['hands']} hands of {found[name]['patients']} {'people' if found[name]['patients'] != 1 else 'person'}" for name, auroc in judged.items()),
                                *([f"lowest: {worst}"] if worst else []), *([f"untouched: {untouched['hands']} readings of {untouched['sources']} photos of {untouched['patients']} people"] if untouched else [])])}


def report(made):
    """Markdown; every figure from transfer.json."""
    lines = ["# Hands from makers that training never saw", "",
             "**No patient is in any of these sets.** Where swelling was edited into real photographs, the idea of swelling is the developers' own, so figures are optimistic.", "",
             f"Model {made['model']}. Labels: what the maker did; used for nothing but this table. AUROC of calibrated probabilities, 95 % intervals from {made['repeats']} patient bootstraps; "
             f"fewer than {ENOUGH_POSITIVES} swollen joints: {NOT_EVALUABLE}. Thresholds: "
             + ", ".join(f"{name} {t:.3f}" for name, t in made["thresholds"].items()) + f" ({made['calibration']['patients']} synthetic calibration patients).", "",
             "| maker | people | photos | hands | joints (swollen) | AUROC | within joints | grade 1 | grade 2 | grade 3 | not located |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for name, part in made["sets"].items():
        cells = [cell(part["auroc"]), "-" if part["withinJointsAuroc"] is None else f"{part['withinJointsAuroc']:.3f}", *(cell(part["perGrade"].get(str(g))) for g in GRADES)]
        lines.append(f"| {name} | {part['patients']} | {part['sources']} | {part['hands']} | {part['joints']} ({part['positives']}) | " + " | ".join(cells) + f" | {part['unread']['notLocated']:.1%} |")
    lines += ["", "| maker | " + " | ".join(f"AUROC {group}" for group in GROUPS) + " |", "|---|" + "---|" * len(GROUPS),
              *[f"| {name} | " + " | ".join(cell(part["perGroup"].get(group)) for group in GROUPS) + " |" for name, part in made["sets"].items() if part["perGroup"]], ""]
    lines += ["Joints that are not swollen and are flagged all the same (false alarms), and swollen ones that are flagged, at each threshold:", "",
              "| maker | " + " | ".join(f"{name}: false alarms | of {', '.join(GROUPS)} | swollen flagged" for name in made["thresholds"]) + " |", "|---|" + "---|" * (3 * len(made["thresholds"]))]
    for name, part in made["sets"].items():
        cells = [f"{percent(part['falseAlarms'][t])} | {', '.join(percent(value) for value in part['falseAlarmsPerGroup'][t].values())} | {percent(part['sensitivity'][t])}" for t in made["thresholds"]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines.append("")
    for name, part in made["sets"].items():
        if part["gates"] and part["gates"]["handsPassing"] < part["hands"]:
            lines += [f"Of {name}, {part['gates']['handsPassing']} of {part['hands']} hands pass the bundle's gates for sharpness and brightness; of those alone: AUROC {cell(part['gates']['auroc'])}, false alarms "
                      + ", ".join(f"{percent(value)} ({t})" for t, value in part["gates"]["falseAlarms"].items()) + ".", ""]
    few = [f"{name} ({part['patients']})" for name, part in made["sets"].items() if part["patients"] < FEW_PEOPLE]
    if few:
        lines += [f"Few people: {', '.join(few)}. Many versions of one photograph are not many people: intervals from so few people are too narrow and the figures a hint, no more.", ""]
    lines += [f"`transferAuroc` of summary.json is that of the maker with the lowest ({made['transferAuroc'] if made['transferAuroc'] is not None else 'none'}); `transferFalseAlarms` is that of `untouched` at {SPECIFICITY:.0%} specificity "
              f"on the calibration patients ({percent(made['transferFalseAlarms'])}).", "", f"Made by `{made['command']}`.", ""]
    return "\n".join(lines)


def cell(figure):
    return figure if figure == NOT_EVALUABLE else "-" if figure is None else interval(figure)


def percent(value):
    return "-" if value is None else f"{value:.1%}"
