"""Runs the model over the calibration patients and leaves <model>/calibration.json."""
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .calibrate import calibrate, log_odds, probability
from .crops import digest, load_crops, pairs_of
from .losses import CARRY_PREVALENCE
from .metrics import brier, ece
from .run_log import RunLog, command_line, commit_of
from .train import load_model, predict


@dataclass(frozen=True)
class Knobs:
    data: str = "runs/v2/calibration-crops"
    model: str = "runs/v2/model"
    context: bool = True  # let the hand's other joints speak too (calibrate.py)
    name: str = "synthetic patients, computer-made hands at natural prevalence"


def calibrate_model(knobs):
    model, saved = load_model(Path(knobs.model) / "model.pt")
    crops = load_crops(knobs.data)
    logits = predict(model, crops)
    made = calibrate(logits, crops.labels, crops.mask, crops.patients, crops.visits(), knobs.name, carried_log_odds(saved),
                     crops.assessable, knobs.context, pairs_of(crops))
    p = probability(logits, made, crops.assessable, pairs_of(crops))[crops.mask]
    y = crops.labels[crops.mask]
    (Path(knobs.model) / "calibration.json").write_text(json.dumps(made, indent=2) + "\n")
    RunLog(knobs.model, step="calibrate", command=command_line(), commit=commit_of(), dataSha256=digest(knobs.data), hands=len(crops),
           positives=float(y.mean()), ece=ece(y, p), brier=brier(y, p), calibration=made)
    return made


def carried_log_odds(saved):
    """[11] log-odds of the training prevalence that the logits of this checkpoint hold; 0 where its loss took them out."""
    return log_odds(np.array(saved["prevalence"])) if saved["knobs"]["loss"] in CARRY_PREVALENCE else 0.0
