"""
Few labelled people, and label fractions: encoders pretrained without labels and then fine-tuned, against the same network from scratch and
against frozen features with a linear head. Same steps, same people, same seeds. Leaves results/few-shot.json and .md and the `fewShot` of
results/summary.json. Goes on where it was stopped.
"""
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import train
from .compare import METHOD, describe
from .crops import digest, load_crops, split_by_patient
from .evaluate import RESULTS, refresh_summary, refuse_shared_patients, rounded
from .frozen import frozen_features
from .baselines import ridge_scores
from .metrics import auroc
from .run_log import RunLog, command_line, commit_of


@dataclass(frozen=True)
class Knobs:
    data: str = "runs/v1/train-300-crops"
    test: str = "runs/v1/test-300-crops"
    pretrained: str = "runs/compare/pretrained/encoders.pt"  # of `pretrain`
    out: str = "runs/few-shot"
    people: str = "2,5,10,20"
    fractions: str = "0.25,1"  # of the people of `data`; empty: none
    seeds: str = "1,2,3"
    fraction_seeds: str = "1"
    steps: int = 200  # of a few people; at least one epoch
    fraction_epochs: int = 6
    batch: int = 8
    lr: float = 3e-3
    ridge: float = 100.0  # of the linear head
    threads: int = 1
    table: bool = True  # false: train only, so that several processes can share the seeds
    results: str = str(RESULTS)


STARTS = ("pretrained", "scratch", "frozen")


def few_shot(knobs):
    crops, test = load_crops(knobs.data), load_crops(knobs.test)
    refuse_shared_patients(train=crops, test=test)
    features = None
    found = []
    for people, seeds, kind in plan(knobs, crops):
        for seed in seeds:
            row = {"people": people, "seed": seed, "kind": kind}
            for start in STARTS:
                if start == "frozen":
                    features = features or [frozen_features(knobs.pretrained, part) for part in (crops, test)]
                row[start] = kept(knobs, row, start, lambda: learn(knobs, crops, test, people, seed, kind, start, features))
            found.append(row)
    if not knobs.table:
        return None
    made = {"evidence": "synthetic", "data": describe(knobs.data), "test": describe(knobs.test), "command": command_line(), "commit": commit_of(),
            "fewShot": summed([row for row in found if row["kind"] == "few"]), "labelFractions": summed([row for row in found if row["kind"] == "fraction"]),
            "scale": f"reduced: {knobs.steps} steps of {knobs.batch} hands, {len(knobs.seeds.split(','))} seeds, encoders pretrained without labels; people of the same maker as the test's"}
    out = Path(knobs.results)
    out.mkdir(parents=True, exist_ok=True)
    (out / "few-shot.json").write_text(json.dumps(rounded(made), indent=2) + "\n")
    (out / "few-shot.md").write_text(report(rounded(made)))
    refresh_summary(out)
    print((out / "few-shot.md").read_text(), flush=True)
    return made


def plan(knobs, crops):
    """[(people, seeds, kind)], fewest first."""
    numbers = lambda text, kind: [kind(part) for part in text.split(",") if part]
    everyone = len(np.unique(crops.patients))
    few = [(n, numbers(knobs.seeds, int), "few") for n in numbers(knobs.people, int)]
    return few + [(round(share * everyone), numbers(knobs.fraction_seeds, int), "fraction") for share in numbers(knobs.fractions, float)]


def kept(knobs, row, start, measure):
    """The AUROC of <out>/<kind>-<people>-<seed>-<start>.json when it belongs to this data and recipe, else measured now."""
    file = Path(knobs.out) / f"{row['kind']}-{row['people']}-{row['seed']}-{start}.json"
    recipe = {"data": digest(knobs.data), "test": digest(knobs.test), "steps": knobs.steps, "epochs": knobs.fraction_epochs, "batch": knobs.batch, "lr": knobs.lr, "ridge": knobs.ridge}
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
    epochs = knobs.fraction_epochs if kind == "fraction" else max(1, round(knobs.steps * knobs.batch / len(rows)))
    at = Path(knobs.out) / f"{kind}-{people}-{seed}-{start}"
    model = train.train(train.Knobs(**{**METHOD, "data": knobs.data, "out": str(at), "epochs": epochs, "batch": knobs.batch, "lr": knobs.lr, "patients": people,
                                       "hold_out": 0.0, "seed": seed, "threads": knobs.threads, "resume": True,
                                       "pretrained": knobs.pretrained if start == "pretrained" else ""}))
    return auroc(y, train.predict(model, test)[test.mask])


def summed(found):
    """Mean, least and most over the seeds for each number of people."""
    made = []
    for people in sorted({row["people"] for row in found}):
        rows = [row for row in found if row["people"] == people]
        made.append({"people": people, "seeds": len(rows), **{start: float(np.mean([row[start] for row in rows])) for start in STARTS},
                     "range": {start: [min(row[start] for row in rows), max(row[start] for row in rows)] for start in STARTS}})
    return made


def report(made):
    lines = ["# Few labelled people", "", "**Computer-made hands only: these figures say nothing about accuracy in patients.**", "",
             f"AUROC over all joints of {made['test']['patients']} patients nobody learned from, mean over seeds (least to most). Each person is two hands, {made['data']['positiveRate']:.0%} of "
             f"their joints swollen. Pretrained: both encoders by `pretrain` on healthy hands without labels, then fine-tuned; scratch: the same network and steps; "
             f"frozen: a ridge logistic head on the pretrained features.", ""]
    for title, key in (("Few people", "fewShot"), ("Label fractions", "labelFractions")):
        lines += [f"| {title} | pretrained | scratch | frozen |", "|---|---|---|---|"]
        lines += [f"| {row['people']} people, {row['seeds']} seed(s) | " + " | ".join(f"{row[start]:.3f} ({row['range'][start][0]:.3f} to {row['range'][start][1]:.3f})" for start in STARTS) + " |"
                  for row in made[key]]
        lines.append("")
    never = all(max(row["pretrained"], row["frozen"]) >= row["scratch"] for row in made["fewShot"])
    early = [row["people"] for row in made["fewShot"] if row["people"] <= 5 and row["pretrained"] - row["scratch"] < 0.10 - 1e-6]
    below = [row["people"] for row in made["fewShot"] if row["pretrained"] < row["scratch"]]
    lines += [f"Bar: pretrained and fine-tuned never below scratch: {'reached' if not below else f'**not reached** at {below} people'}"
              + (" (the better of fine-tuned and frozen never is)" if below and never else "")
              + f"; at 2 and 5 people above it by 0.10: {'reached' if not early else f'**not reached** at {early} people'}.", "",
              f"Scale: {made['scale']}. Made by `{made['command']}`.", ""]
    return "\n".join(lines)
