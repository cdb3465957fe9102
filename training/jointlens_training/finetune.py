"""
A site's own path: the bundle's network fine-tuned on the site's labelled photos, judged by grouped nested cross-validation, calibrated at
the site's own prevalence, and exported as a bundle that the service can load. Promotion is a person's act: nothing is switched over here.
Patients too few to calibrate on (little_data.py) keep the calibration of the bundle that was the start; all else is the same.

    outer folds: patients nobody learned from, nobody calibrated on -> the figures
      inner folds of the rest: when to stop (least is 0: the network as it was), calibration, thresholds, interval factor
    all patients in inner folds -> the network, calibration and stopping point that are exported
"""
import copy
import json
import re
import shlex
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch

from . import device
from .augment import augment
from .bundle_weights import hold_norms, load_bundle
from .calibrate import calibrate, probability
from .card import stopping_words
from .crops import GROUPS, JOINTS, digest, joint_prevalence, load_crops, pairs_of
from .evaluate import ENOUGH_POSITIVES, NOT_EVALUABLE, Scored, count_figures, figures, rounded, unread
from .export import Knobs as ExportKnobs, REPOSITORY, export, sha256, write_calibration, write_whole
from .little_data import TO_CALIBRATE, amount_of, kept_calibration, kept_words, refuse_too_little, shortfall, without_chance
from .losses import LOSSES, smooth_negatives
from .metrics import auprc, auroc, bootstrap, brier, counts, decisions, ece
from .run_log import RunLog, commit_of
from .site_labels import cut_crops, cutting_code, left_out, photo_digests, read_labels
from .train import Knobs as TrainKnobs, batches, follow, pictures, predict, prepared, save, warm_cosine


@dataclass(frozen=True)
class Knobs:
    photos: str = ""  # folder of the photos
    labels: str = ""  # CSV photo,side,joint,label,patient[,visit]
    out: str = "runs/site"  # keeps what is done of a run, for the same command to go on from
    base: str = str(REPOSITORY / "models" / "hand-joints" / "0.1.0")  # the float32 bundle to start from
    version: str = ""  # of the bundle that is made; when left out, the next that the service takes for newer than the base: 0.1.1-site.1
    serial: int = 1000
    evidence: str = "clinical"  # what the photos are: clinical, proxy, synthetic
    source: str = "signed findings of the site's clinicians"  # of the labels, for the manifest
    outer: int = 5  # folds
    inner: int = 4
    epochs: int = 30  # at most; the inner folds say when to stop
    least_steps: int = 800  # few hands are looked at in more epochs, so that there are so many batches; 0: never more epochs
    batch: int = 8
    lr: float = 1e-3  # a third of it learns too little of photographs unlike the base's, three times as much spoils what 5 or 10 people start from
    encoder_lr: float = 1.0  # share of it for the encoders
    weight_decay: float = 0.02
    ema: float = 0.98  # weights that are judged and kept are a running mean
    loss: str = "logit-adjusted"
    smooth: float = 0.02
    repeats: int = 2000  # patient bootstraps
    threads: int = 1
    device: str = "auto"  # a GPU when there is one
    precision: str = "auto"  # bf16 on a GPU, fp32 on a processor
    seed: int = 1


def finetune(knobs):
    """
    Leaves <out>/finetune.json, <out>/model (model.pt, calibration.json), <out>/bundle/<version> and, where the patients carry one,
    <out>/site-calibration.json, its calibration as the service reads it. ValueError for too little data.
    """
    torch.set_num_threads(knobs.threads)
    if knobs.evidence not in ("clinical", "proxy", "synthetic"):
        raise ValueError(f"Expected evidence to be clinical, proxy or synthetic but received {knobs.evidence}")
    if min(knobs.outer, knobs.inner) < 2 or min(knobs.epochs, knobs.least_steps) < 0:
        raise ValueError(f"Expected at least 2 outer and 2 inner folds and no fewer than 0 epochs and steps but received {knobs.outer}, {knobs.inner}, {knobs.epochs} and {knobs.least_steps}")
    base, manifest = load_bundle(knobs.base)
    knobs = replace(knobs, version=version_after(manifest["version"], knobs))
    crops = site_crops(knobs, manifest)
    print("\n".join([*left_out(crops.folder), heard_of(crops)]), flush=True)
    found = amount_of(crops)
    refuse_too_little(found)
    kept = kept_calibration(manifest) if shortfall(found, TO_CALIBRATE) else None
    if kept:
        print(kept_words(found, manifest["version"]), flush=True)
    origin = {"command": command_of(knobs), "seed": knobs.seed, "commit": commit_of(), "dataSha256": digest(crops.folder), "base": sha256((Path(knobs.base) / "manifest.json").read_bytes())}
    log = RunLog(knobs.out, **origin, knobs=asdict(knobs), hands=len(crops), patients=len(np.unique(crops.patients)), positives=float(crops.labels[crops.mask].mean()))
    everyone = np.arange(len(crops))
    held_out = {"tuned": Judged.empty(crops), "base": Judged.empty(crops)}
    stops = []
    knobs = replace(knobs, epochs=epochs_of(knobs, len(crops)))
    done = Done(Path(knobs.out) / "done.json", origin, knobs)
    folds = patient_folds(crops, everyone, max(knobs.outer, FEWEST_OUTER) if kept else knobs.outer, knobs.seed)
    for number, test in enumerate(folds, start=1):
        fold = done.once(f"fold {number}", lambda: judge_fold(base, crops, np.setdiff1d(everyone, test), test, knobs, seed=knobs.seed + 100 * number, kept=kept))
        held_out["tuned"].put(test, np.array(fold["tuned"]), fold["calibration"], crops)
        held_out["base"].put(test, np.array(fold["base"]), fold["plain"], crops)
        stops.append(fold["stop"])
        log.write(fold=number, of=len(folds), stopped=fold["stop"], heldOut=len(test))
    stop, calibration, _ = done.once("everyone", lambda: choose(base, crops, everyone, knobs, seed=knobs.seed, kept=kept))
    model = fit(base, crops, everyone, knobs, stop, knobs.seed)[0]
    words = origin | training_words(crops) | ({"calibrationKeptFrom": manifest["version"]} if kept else {})
    made = summary_of(crops, held_out, calibration, words, knobs) | {"stopped": stop, "stoppedInFolds": stops}
    write(model, manifest["tier"], calibration, made, knobs, crops)
    print(spoken(made), flush=True)
    return made


def epochs_of(knobs, hands):
    """How often a site's hands are looked at, at most: in 30 epochs of 54 hands a network learned half of what it did in 75 (training/README.md)."""
    return max(knobs.epochs, int(np.ceil(knobs.least_steps * knobs.batch / hands))) if knobs.epochs else 0


STARTED_FROM = "the bundle it started from"
FEWEST_OUTER = 3  # so that of three patients with a swollen joint two are left to learn and stop by


def judge_fold(base, crops, rest, test, knobs, seed, kept):
    """What the rest say of `test`: {stop, calibration, plain (that of the base), tuned, base: [len(test), 11] logits}."""
    stop, calibration, plain = choose(base, crops, rest, knobs, seed, kept)
    model = fit(base, crops, rest, knobs, stop, knobs.seed)[0]
    return {"stop": stop, "calibration": calibration, "plain": plain, "tuned": predict(model, crops, test).tolist(), "base": predict(base, crops, test).tolist()}


class Done:
    """Steps of a run, kept as they end: the same command goes on after the last. Other data, code or knobs begin anew."""

    NO_MATTER = ("photos", "labels", "out", "version", "serial", "evidence", "source", "repeats", "threads")  # to what a step gives

    def __init__(self, file, origin, knobs):
        key = {name: origin[name] for name in ("commit", "dataSha256", "base")} | {name: value for name, value in asdict(knobs).items() if name not in self.NO_MATTER}
        kept = json.loads(file.read_text()) if file.exists() else {}
        self.file, self.kept = file, kept if kept.get("of") == key else {"of": key, "steps": {}}

    def once(self, step, make):
        """What `make` gave, now or in the run before, as JSON keeps it."""
        if step not in self.kept["steps"]:
            self.kept["steps"][step] = make()
            write_whole(self.file, json.dumps(self.kept).encode())
        return json.loads(json.dumps(self.kept["steps"][step]))


def version_after(base, knobs):
    """knobs.version, or the one that follows the base's. ValueError for one that the service takes for older, or that is there already."""
    (major, minor, patch), suffix = parts_of(base)
    sites = re.fullmatch(r"site\.(\d+)", suffix or "")
    version = knobs.version or (f"{major}.{minor}.{patch}-site.{int(sites[1]) + 1}" if sites else f"{major}.{minor}.{patch + 1}-site.1")
    if order_of(version) <= order_of(base):
        raise ValueError(f"Expected a --version that is newer than the base's {base} but received {version}: the service would take it for older and leave the base's results standing")
    folder = Path(knobs.out) / "bundle" / version
    if (folder / "manifest.json").exists():
        raise ValueError(f"Expected no bundle of version {version} yet but {folder} holds one: it may be in use. Choose another --version or --out")
    return version


def parts_of(version):
    """'0.1.1-site.2' -> ((0, 1, 1), 'site.2'); None for no suffix."""
    found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?", version)
    if not found:
        raise ValueError(f"Expected a version such as 0.1.1-site.1 but received {version}")
    return tuple(map(int, found.groups()[:3])), found.group(4)


def order_of(version):
    """Rises as semantic versions do; src/screening/model-order.ts orders models alike."""
    triple, suffix = parts_of(version)
    return triple, suffix is None, [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in (suffix or "").split(".")]


def command_of(knobs):
    """The command without its paths: card and manifest travel, and names of folders may say who or where somebody is."""
    told = {field.name: getattr(knobs, field.name) for field in fields(knobs) if getattr(knobs, field.name) != field.default}
    hidden = {name: name.upper() for name in ("photos", "labels", "out", "base") if name in told}
    return " ".join(["python -m jointlens_training finetune", *(f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in (told | hidden).items())])


def site_crops(knobs, manifest):
    """The crops of <out>/crops, cut now when they are not there or belong to other labels, photos, sizes or code."""
    folder = Path(knobs.out) / "crops"
    if knobs.labels:
        labels, sizes = read_labels(knobs.labels), [manifest["inputs"][name]["size"] for name in ("global", "local")]
        mark, fresh = folder / "made-of.sha256", sha256(json.dumps([labels, photo_digests(knobs.photos, labels), sizes, cutting_code()]).encode())
        if not mark.exists() or mark.read_text() != fresh:
            mark.unlink(missing_ok=True)
            cut_crops(knobs.photos, labels, folder, *sizes)
            mark.write_text(fresh)
    if not (folder / "index.jsonl").exists():
        raise ValueError(f"Expected --photos and --labels, or crops of an earlier run in {folder}")
    if not (folder / "index.jsonl").read_text().strip():
        raise ValueError("\n".join([*left_out(folder), "Expected at least one hand that can be read but found none"]))
    return load_crops(folder)


def heard_of(crops):
    """How much of what was labelled can be read."""
    missing = unread(crops.folder, crops)
    labelled = sum("label" in joint for row in crops.rows for joint in row["joints"].values())
    return f"{len(crops)} of {missing['photos']} labelled hands can be read, and {int(crops.mask.sum())} of their {labelled} labelled joints"


def patient_folds(crops, rows, folds, seed):
    """[rows of each fold]: every patient in one fold, patients with swollen joints dealt out evenly; no more folds than patients."""
    random = np.random.default_rng(seed)
    names = np.unique(crops.patients[rows])
    folds = min(folds, len(names))
    load = np.array([(crops.labels * crops.mask)[rows][crops.patients[rows] == name].sum() for name in names])
    order = np.lexsort((random.random(len(names)), -load))
    place = dict(zip(names[order], np.arange(len(names)) % folds))
    of = np.array([place[name] for name in crops.patients[rows]])
    return [rows[of == fold] for fold in range(folds)]


def choose(base, crops, rows, knobs, seed, kept=None):
    """
    Inner cross-validation over `rows`: when to stop by the out-of-fold logits (0: leave the network as it is), and the
    calibrations made of the out-of-fold logits, tuned and as it was; both `kept` where that is given. -> (epochs, calibration, calibration of the base).
    """
    folds = patient_folds(crops, rows, knobs.inner, seed)
    logits = np.full((knobs.epochs + 1, len(crops), len(JOINTS)), np.nan)
    for fold in folds:
        logits[:, fold] = fit(base, crops, np.setdiff1d(rows, fold), knobs, knobs.epochs, seed, watch=fold)[1]
    mask, labels = crops.mask[rows], crops.labels[rows]
    stop = stop_of(labels[mask], logits[:, rows][:, mask], np.repeat(crops.patients[rows][:, None], len(JOINTS), 1)[mask])
    if kept:
        return stop, kept, kept
    make = lambda epoch: calibrate(logits[epoch][rows], labels, mask, crops.patients[rows], crops.visits()[rows], site_words(crops, rows), 0.0, crops.assessable[rows], pairs=pairs_of(crops, rows))
    return stop, make(stop), make(0)


SURE_OF_GAIN = 0.9  # level of the interval that must lie above 0 before anything is learned


def stop_of(y, logits, patients):
    """
    The epoch with the best AUPRC, or 0 where the interval of its gain over no learning holds 0: the best of several is better by chance alone.
    60 patients whose maker the network knew gained 0.010 there and lost 0.079 where they were held out. y [M], logits [epochs + 1, M], patients [M].
    """
    stop = int(np.argmax([auprc(y, one) for one in logits]))
    gain = lambda i: auprc(y[i], logits[stop][i]) - auprc(y[i], logits[0][i])
    return stop if bootstrap(gain, patients, repeats=300, level=SURE_OF_GAIN)[0] > 0 else 0


def fit(base, crops, rows, knobs, epochs, seed, watch=None):
    """
    -> (running mean of the network's weights after `epochs`, [epochs + 1, len(watch), 11] logits that it gives the watched rows after each).
    The schedule is that of knobs.epochs.
    """
    torch.manual_seed(seed)
    at = device.chosen(knobs.device)
    random, model = torch.Generator().manual_seed(seed), copy.deepcopy(base).to(at)
    mean = copy.deepcopy(model)
    changes = device.dice(at, random)
    watched = [] if watch is None else [predict(model, crops, watch)]
    prevalence = torch.tensor(joint_prevalence(crops.labels[rows], crops.mask[rows]), dtype=torch.float32, device=at)
    encoders = [p for name, p in model.named_parameters() if name.startswith(("whole.", "local."))]
    others = [p for name, p in model.named_parameters() if not name.startswith(("whole.", "local."))]
    optimiser = torch.optim.AdamW([{"params": encoders, "lr": knobs.lr * knobs.encoder_lr}, {"params": others, "lr": knobs.lr}], weight_decay=knobs.weight_decay)
    draw = TrainKnobs(batch=knobs.batch, sampler="patient")
    steps = knobs.epochs * int(np.ceil(len(rows) / knobs.batch))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_cosine(step, steps))
    for _ in range(epochs):
        hold_norms(model)
        for part in batches(rows, crops, draw, random):
            whole, local = augment(*pictures(crops, part, at), changes)
            labels = smooth_negatives(torch.tensor(crops.labels[part], device=at), knobs.smooth)
            mask = torch.tensor(crops.mask[part], dtype=torch.float32, device=at)
            with device.multiplied(at, knobs.precision):
                logits = model(*prepared(whole, local))
            loss = LOSSES[knobs.loss](logits.float(), labels, mask, prevalence=prevalence)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            follow(mean, model, knobs.ema)
        if watch is not None:
            watched.append(predict(mean, crops, watch))
    return mean.eval(), np.array(watched)


@dataclass
class Judged:
    """What was said about every hand by a network and calibration that had never seen its patient. All [N,11]; intervals per visit."""

    p: np.ndarray
    f1_flags: np.ndarray
    gmean_flags: np.ndarray
    visits: list

    @classmethod
    def empty(cls, crops):
        shape = crops.mask.shape
        return cls(np.full(shape, np.nan), np.zeros(shape, bool), np.zeros(shape, bool), [])

    def put(self, rows, logits, calibration, crops):
        p, t = probability(logits, calibration, crops.assessable[rows], pairs_of(crops, rows)), calibration["thresholds"]
        self.p[rows], self.f1_flags[rows], self.gmean_flags[rows] = p, p >= t["f1"], p >= t["gmean"]
        self.visits.append(counts(crops.labels[rows], p, crops.mask[rows], crops.visits()[rows], t["f1"], calibration["interval"]["factor"]))

    def scored(self, name, mask):
        return Scored(name, self.p[mask], self.f1_flags[mask], self.gmean_flags[mask])

    def counted(self):
        return {key: np.concatenate([part[key] for part in self.visits]) for key in self.visits[0]}


def summary_of(crops, held_out, calibration, training, knobs):
    """The fields that the model card reads, from held-out patients only, and the paired difference to the bundle we started from; None where it would be chance."""
    m, y = crops.mask, crops.labels[crops.mask]
    patients = np.repeat(crops.patients[:, None], len(JOINTS), 1)[m]
    tuned, base = (held_out[name].scored(name, m) for name in ("tuned", "base"))
    prior = np.broadcast_to(joint_prevalence(crops.labels, m), m.shape)[m]
    never = np.zeros(len(y), bool)
    table = {row.name: figures(row, y, patients, knobs.repeats) for row in (
        tuned, Scored(STARTED_FROM + ("" if "calibrationKeptFrom" in training else ", calibrated here"), base.score, base.f1_flags, base.gmean_flags),
        Scored("always negative", np.zeros(len(y)), never, never), Scored("per-joint prevalence", prior, prior >= np.median(prior), prior >= np.median(prior)))}
    main, visit = table.pop("tuned"), held_out["tuned"].counted()
    keep = ("auroc", "auprc", "f1", "gmean", "sensitivity", "specificity", "ppv", "npv")
    return without_chance(rounded({
        "data": {"patients": int(len(np.unique(patients))), "hands": len(crops), "joints": int(m.sum()), "positives": int(y.sum()), "positiveRate": float(y.mean()),
                 "readerKappa": None, "evidence": knobs.evidence, "sha256": training["dataSha256"]},
        "model": {key: main[key]["value"] for key in keep[:4]}, "modelIntervals": {key: main[key] for key in keep}, "baselines": table,
        "lessBase": difference(tuned, base, y, patients, knobs.repeats), "ece": ece(y, tuned.score), "brier": brier(y, tuned.score),
        "countIntervalCoverage": float(np.mean((visit["true"] >= visit["low"]) & (visit["true"] <= visit["high"]))), "count": count_figures(visit),
        "backgroundAuroc": None, "perGroup": {name: group_figures(held_out["tuned"], crops, np.isin(JOINTS, joints)) for name, joints in GROUPS.items()},
        "perSkinTone": {}, "slices": {}, "unread": unread(crops.folder, crops), "training": training,
        "evaluation": {"command": training["command"], "commit": training["commit"], "how": f"grouped nested cross-validation, {len(held_out['tuned'].visits)} outer and at most {knobs.inner} inner folds"},
        "notes": {"backgroundAuroc": "not measured by finetune", "perSkinTone": "skin tones are not among a site's labels", "transferAuroc": "other sites were not asked"},
    })) | {"calibration": calibration}


def difference(ours, other, y, patients, repeats):
    """Tuned less base on the same resampled patients: {auroc, auprc, f1: {mean, low, high}}."""
    at = lambda row, i: np.array([auroc(y[i], row.score[i]), auprc(y[i], row.score[i]), decisions(y[i], row.f1_flags[i])["f1"]])
    delta = lambda i: at(ours, i) - at(other, i)
    low, high = bootstrap(delta, patients, repeats)
    return {key: {"mean": float(mean), "low": float(a), "high": float(b)} for key, mean, a, b in zip(("auroc", "auprc", "f1"), delta(np.arange(len(y))), low, high)}


def group_figures(judged, crops, joints):
    seen = crops.mask & joints[None]
    y = crops.labels[seen]
    if y.sum() < ENOUGH_POSITIVES:
        return NOT_EVALUABLE
    made = figures(judged.scored("", seen), y, np.repeat(crops.patients[:, None], len(JOINTS), 1)[seen], 500)
    return {"joints": int(seen.sum()), "positives": int(y.sum()), "auroc": made["auroc"]["value"], "aurocLow": made["auroc"]["low"], "aurocHigh": made["auroc"]["high"],
            "f1": made["f1"]["value"], "gmean": made["gmean"]["value"], "sensitivity": made["sensitivity"]["value"], "specificity": made["specificity"]["value"], "ece": ece(y, judged.p[seen])}


def training_words(crops):
    return {"hands": len(crops), "patients": int(len(np.unique(crops.patients))), "positiveRate": float(crops.labels[crops.mask].mean())}


def site_words(crops, rows):
    mask = crops.mask[rows]
    return (f"{int(mask.sum())} joints ({int(crops.labels[rows][mask].sum())} swollen) of {len(np.unique(crops.patients[rows]))} patients of this site, out of fold")


def write(model, tier, calibration, made, knobs, crops):
    """
    model.pt, calibration.json, finetune.json, then the bundle by the same export as every other. Its golden hands stay the base's: no patient's
    picture leaves. The calibration comes from out-of-fold logits: `jointlens calibrate` on patients that the network learned from would trust it too much.
    """
    out = Path(knobs.out)
    folder = out / "model"
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "model.pt", {"knobs": asdict(TrainKnobs(fusion="paper", tier=tier, constancy=model.skin is not None)), "model": model.cpu().state_dict(), "prevalence": joint_prevalence(crops.labels, crops.mask).tolist(), "training": made["training"]})
    (folder / "calibration.json").write_text(json.dumps(calibration, indent=2) + "\n")
    made = made | {"modelSha256": sha256((folder / "model.pt").read_bytes())}
    (out / "finetune.json").write_text(json.dumps(made, indent=2) + "\n")
    bundle = export(ExportKnobs(model=str(folder), golden=knobs.base, summary=str(out / "finetune.json"), version=knobs.version, serial=knobs.serial,
                                out=str(out / "bundle"), labels=knobs.source, evidence=knobs.evidence))
    if "calibrationKeptFrom" not in made["training"]:
        write_calibration(bundle, out / "site-calibration.json", calibration["data"])


def spoken(made):
    return f"{judged_words(made)}{turned_words(made)} {stopping_words(made)} {next_words(made)}"


def next_words(made):
    """What a person does with the bundle."""
    high, kept = made["lessBase"]["auprc"]["high"], made["training"].get("calibrationKeptFrom")
    if high is not None and high < 0:
        return "Stay with the bundle it started from."
    then = (f"Its calibration is that of version {kept}, not of your site: leave it in shadow mode until `jointlens calibrate` made one of patients that it did not learn from."
            if kept else "Compare it in shadow mode, then change JOINTLENS_MODEL and calibrationFile.")
    return f"Check it with `jointlens model verify`. {then}"


def turned_words(made):
    """What to look at when the starting bundle calls healthy what the labels call swollen; where it is calibrated anew, that refuses."""
    auroc = made["baselines"].get(STARTED_FROM, {}).get("auroc", {}).get("value")
    if auroc is None or auroc >= 0.5:
        return ""
    return f" The bundle it started from orders these joints worse than chance (AUROC {auroc:.3f}): is 1 swollen in the labels, and is each label with its own photo and side?"


def judged_words(made):
    """How it did on held-out patients beside the bundle it started from, as far as they are enough to say."""
    model, less = made["model"], made["lessBase"]["auprc"]
    if model["auroc"] is None:
        return f"Held-out patients: {NOT_EVALUABLE}, fewer than {ENOUGH_POSITIVES} swollen or other joints: whether it is better than the bundle it started from is not known."
    held_out = f"Held-out patients: AUROC {model['auroc']:.3f}, AUPRC {model['auprc']:.3f}; "
    if less["low"] is None:
        return f"{held_out}AUPRC {less['mean']:+.3f} to the bundle it started from, of too few patients to say whether that is chance."
    verdict = "better than" if less["low"] > 0 else "worse than" if less["high"] < 0 else "not shown to differ from"
    return f"{held_out}{verdict} the bundle it started from (AUPRC {less['mean']:+.3f}, {less['low']:+.3f} to {less['high']:+.3f})."
