"""
Few labelled people of a maker that training never saw, as a hospital would have them: the bundled network (pretrained on labelled synthetic
hands of other makers) fine-tuned on them, against encoders pretrained without labels, against the same network from scratch, and against
frozen features with a linear head. And label fractions of the training maker, without the bundle, which knows those people. Same people, same
seeds. Leaves results/few-shot.json and .md and the `fewShot` of results/summary.json. Goes on where it was stopped.
"""
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import train
from .bundle_weights import load_bundle
from .compare import METHOD, describe
from .crops import digest, load_crops, split_by_patient
from .evaluate import RESULTS, refresh_summary, refuse_shared_patients, rounded
from .export import REPOSITORY, sha256
from .finetune import Knobs as FinetuneKnobs, fit
from .frozen import frozen_features
from .baselines import ridge_scores
from .metrics import auroc
from .run_log import RunLog, command_line, commit_of


@dataclass(frozen=True)
class Knobs:
    data: str = "runs/v2/unseen-train-crops"  # people of a maker that neither the bundle nor `pretrain` saw
    test: str = "runs/v2/unseen-test-crops"  # other people of it
    bundle: str = str(REPOSITORY / "models" / "hand-joints" / "0.1.0")  # what `finetune` starts from
    pretrained: str = "runs/compare/pretrained/encoders.pt"  # of `pretrain`
    fraction_data: str = "runs/v2/train-300-crops"
    fraction_test: str = "runs/v2/test-crops"
    out: str = "runs/few-shot"
    people: str = "2,5,10,20"
    fractions: str = "0.25,1"  # of the people of `fraction_data`; empty: none
    seeds: str = "1,2,3"
    fraction_seeds: str = "1"
    steps: int = 200  # of a few people, without the bundle; at least one epoch
    tune_steps: int = 60  # from the bundle
    tune_lr: float = 3e-4  # gentler than finetune's, which can stop before it spoils anything; here nobody watches
    tune_encoder_lr: float = 0.33
    fraction_epochs: int = 6
    batch: int = 8
    lr: float = 3e-3
    ridge: float = 100.0  # of the linear head
    threads: int = 1
    table: bool = True  # false: train only, so that several processes can share the seeds
    results: str = str(RESULTS)


# Ways to learn: `untuned` is the bundle as it is, `pretrained` the bundle that learns from them, `unlabelled` encoders pretrained without labels. The bundle knows the people of `fraction_data`.
STARTS = {"few": ("untuned", "pretrained", "unlabelled", "scratch", "frozen"), "fraction": ("unlabelled", "scratch", "frozen")}


def few_shot(knobs):
    found, described = [], {}
    for kind, folders in (("few", (knobs.data, knobs.test)), ("fraction", (knobs.fraction_data, knobs.fraction_test))):
        if kind == "fraction" and not knobs.fractions:
            continue
        crops, test = (load_crops(folder) for folder in folders)
        refuse_shared_patients(train=crops, test=test)
        described[kind] = {"data": describe(folders[0]), "test": describe(folders[1])}
        features = None
        for people, seeds in plan(knobs, kind, crops):
            for seed in seeds:
                row = {"people": people, "seed": seed, "kind": kind}
                for start in STARTS[kind]:
                    if start == "frozen":
                        features = features or [frozen_features(knobs.pretrained, part) for part in (crops, test)]
                    row[start] = kept(knobs, row, start, folders, lambda: learn(knobs, crops, test, people, seed, kind, start, features))
                found.append(row)
    if not knobs.table:
        return None
    of = lambda kind: summed([row for row in found if row["kind"] == kind], STARTS[kind])
    made = {"evidence": "synthetic", "sets": described, "command": command_line(), "commit": commit_of(), "fewShot": of("few"), "labelFractions": of("fraction"),
            "scale": f"{len(knobs.seeds.split(','))} seeds; people of a maker that the bundle never saw; {knobs.tune_steps} steps of {knobs.batch} hands from the bundle, {knobs.steps} otherwise"}
    out = Path(knobs.results)
    out.mkdir(parents=True, exist_ok=True)
    (out / "few-shot.json").write_text(json.dumps(rounded(made), indent=2) + "\n")
    (out / "few-shot.md").write_text(report(rounded(made)))
    refresh_summary(out)
    print((out / "few-shot.md").read_text(), flush=True)
    return made


def plan(knobs, kind, crops):
    """[(people, seeds)], fewest first."""
    numbers = lambda text, of: [of(part) for part in text.split(",") if part]
    if kind == "few":
        return [(n, numbers(knobs.seeds, int)) for n in numbers(knobs.people, int)]
    return [(round(share * len(np.unique(crops.patients))), numbers(knobs.fraction_seeds, int)) for share in numbers(knobs.fractions, float)]


def kept(knobs, row, start, folders, measure):
    """
    The AUROC of <out>/<kind>-<people>-<seed>-<start>.json (<kind>-untuned.json, which learns from nobody) when it belongs to this data and recipe,
    else measured now.
    """
    of = "" if start == "untuned" else f"{row['people']}-{row['seed']}-"
    file = Path(knobs.out) / f"{row['kind']}-{of}{start}.json"
    bundle = {"bundle": sha256((Path(knobs.bundle) / "manifest.json").read_bytes()), "tuneSteps": knobs.tune_steps, "tuneLr": knobs.tune_lr, "tuneEncoderLr": knobs.tune_encoder_lr} if start in ("untuned", "pretrained") else {}
    recipe = {**bundle, "data": digest(folders[0]), "test": digest(folders[1]), "steps": knobs.steps, "epochs": knobs.fraction_epochs, "batch": knobs.batch, "lr": knobs.lr, "ridge": knobs.ridge}
    if file.exists() and (there := json.loads(file.read_text()))["recipe"] == recipe:
        return there["auroc"]
    made = measure()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"recipe": recipe, "auroc": made}) + "\n")
    RunLog(knobs.out, **row, start=start, auroc=made)
    return made


def learn(knobs, crops, test, people, seed, kind, start, features):
    """AUROC on the test joints, all joint types pooled, of one way to learn from `people` people."""
    y = test.labels[test.mask]
    rows = train.some_patients(crops.patients, np.arange(len(crops)), people, seed)
    if start == "frozen":
        part = replace(crops, **{name: getattr(crops, name)[rows] for name in ("labels", "mask", "patients")}, rows=[crops.rows[i] for i in rows])
        return auroc(y, ridge_scores(features[0][rows], part, (features[1], test), ridge=knobs.ridge)[0][test.mask])
    if start == "untuned":
        return auroc(y, train.predict(load_bundle(knobs.bundle)[0], test)[test.mask])
    if start == "pretrained":
        epochs = max(1, round(knobs.tune_steps * knobs.batch / len(rows)))
        tuned = fit(load_bundle(knobs.bundle)[0], crops, rows, FinetuneKnobs(epochs=epochs, batch=knobs.batch, lr=knobs.tune_lr, encoder_lr=knobs.tune_encoder_lr), epochs, seed)[0]
        return auroc(y, train.predict(tuned, test)[test.mask])
    epochs = knobs.fraction_epochs if kind == "fraction" else max(1, round(knobs.steps * knobs.batch / len(rows)))
    at = Path(knobs.out) / f"{kind}-{people}-{seed}-{start}"
    model = train.train(train.Knobs(**{**METHOD, "data": knobs.data, "out": str(at), "epochs": epochs, "batch": knobs.batch, "lr": knobs.lr, "patients": people,
                                       "hold_out": 0.0, "seed": seed, "threads": knobs.threads, "resume": True,
                                       "pretrained": knobs.pretrained if start == "unlabelled" else ""}))
    return auroc(y, train.predict(model, test)[test.mask])


def summed(found, starts):
    """Mean, least and most over the seeds for each number of people."""
    made = []
    for people in sorted({row["people"] for row in found}):
        rows = [row for row in found if row["people"] == people]
        made.append({"people": people, "seeds": len(rows), **{start: float(np.mean([row[start] for row in rows])) for start in starts},
                     "range": {start: [min(row[start] for row in rows), max(row[start] for row in rows)] for start in starts}})
    return made


WORDS = {"untuned": "bundle as it is", "pretrained": "bundle, fine-tuned", "unlabelled": "pretrained without labels, fine-tuned", "scratch": "from scratch", "frozen": "frozen features, linear head"}


def report(made):
    lines = ["# Few labelled people", "", "**Computer-made hands only: these figures say nothing about accuracy in patients.**", "",
             "AUROC over all joints of people nobody learned from, mean over seeds (least to most); each person is two hands.", ""]
    for title, kind, key in (("Few people of a maker that the bundle never saw", "few", "fewShot"), ("Label fractions, people of the training maker", "fraction", "labelFractions")):
        if not made[key]:
            continue
        said = made["sets"][kind]
        lines += [f"## {title}", "", f"Tested on {said['test']['patients']} others; {said['data']['positiveRate']:.0%} of the joints to learn from are swollen.", "",
                  "| people, seeds | " + " | ".join(WORDS[start] for start in STARTS[kind]) + " |", "|---|" + "---|" * len(STARTS[kind])]
        lines += [f"| {row['people']}, {row['seeds']} | " + " | ".join(f"{row[start]:.3f} ({row['range'][start][0]:.3f} to {row['range'][start][1]:.3f})" for start in STARTS[kind]) + " |"
                  for row in made[key]]
        lines.append("")
    below = [row["people"] for row in made["fewShot"] if row["pretrained"] < row["scratch"]]
    early = [row["people"] for row in made["fewShot"] if row["people"] <= 5 and row["pretrained"] - row["scratch"] < 0.10 - 1e-6]
    lines += [f"Bar: pretrained on synthetic hands and fine-tuned never below scratch: {'reached' if not below else f'**not reached** at {below} people'}"
              + f"; at 2 and 5 people above it by 0.10: {'reached' if not early else f'**not reached** at {early} people'}.", "",
              f"Scale: {made['scale']}. Made by `{made['command']}`.", ""]
    return "\n".join(lines)
