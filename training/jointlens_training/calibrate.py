"""
From prior-free logits to probabilities one may show: p = sigmoid((z + prior log-odds of the joint) / T + bias), thresholds, and a
conformal factor for the count. Made on patients at natural prevalence that training never saw (method/training, sections 5 and 6).
"""
import numpy as np

from .crops import JOINTS, joint_prevalence
from .metrics import decisions

LEVEL = 0.9


def log_odds(p):
    return np.log(p / (1 - p))


def probability(logits, calibration):
    """logits [N,11] -> p [N,11]; the formula of src/inference/calibrate.ts."""
    prior = np.asarray(calibration["priorLogOdds"])
    return 1 / (1 + np.exp(-((logits + prior) / calibration["temperature"] + calibration["bias"])))


def fit_temperature_and_bias(z, y, steps=100):
    """Least negative log-likelihood of y under sigmoid(z / T + b), by Newton. z, y [M] -> (T, b). T > 0 or ValueError."""
    z, y = np.asarray(z, float), np.asarray(y, float)
    slope, bias = 1.0, 0.0
    for _ in range(steps):
        p = 1 / (1 + np.exp(-(slope * z + bias)))
        gradient = np.array([((p - y) * z).sum(), (p - y).sum()])
        w = p * (1 - p) + 1e-9
        hessian = np.array([[(w * z * z).sum(), (w * z).sum()], [(w * z).sum(), w.sum()]]) + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        step /= max(1.0, np.abs(step).max())
        slope, bias = slope - step[0], bias - step[1]
        if np.abs(step).max() < 1e-9:
            break
    if slope <= 0:
        raise ValueError(f"Expected scores that rise with swelling but the fitted slope is {slope:.3f}")
    return 1 / slope, bias


def choose_thresholds(p, y):
    """f1 (counts), gmean and sensitivity90 (look here first) on calibrated p [M], midway between neighbouring values."""
    values = np.unique(p)
    cuts = np.concatenate([[values[0] * 0.5], (values[1:] + values[:-1]) / 2])
    cuts = cuts[np.linspace(0, len(cuts) - 1, min(len(cuts), 800)).astype(int)]
    table = [decisions(y, p >= cut) for cut in cuts]
    best = lambda key: cuts[int(np.argmax([row[key] for row in table]))]
    sensitive = [cut for cut, row in zip(cuts, table) if row["sensitivity"] >= 0.9]
    # A threshold above 0.5 on a calibrated probability is chance (t_F1 = F1*/2, Lipton et al., arXiv 1402.1892).
    # Looking first never asks for more than counting does.
    f1, gmean = min(best("f1"), 0.5), min(best("gmean"), 0.5)
    chosen = {"f1": f1, "gmean": gmean, "sensitivity90": min(max(sensitive), f1)}
    return {name: float(np.clip(cut, 1e-4, 0.5)) for name, cut in chosen.items()}


def conformal_factor(p, y, mask, visits, level=LEVEL):
    """k: the ceil(level (n + 1))-th smallest |count - sum p| / sqrt(sum p (1 - p)) over n visits. p, y, mask [N,11], visits [N]."""
    residuals = []
    for name in np.unique(visits):
        seen = mask & (visits == name)[:, None]
        if seen.any():
            q = p[seen]
            residuals.append(abs(y[seen].sum() - q.sum()) / np.sqrt((q * (1 - q)).sum()))
    place = int(np.ceil(level * (len(residuals) + 1)))
    if place > len(residuals):
        raise ValueError(f"Expected at least {int(np.ceil(level / (1 - level) - 1e-9))} visits for a {level:.0%} interval but received {len(residuals)}")
    return float(np.sort(residuals)[place - 1])


def calibrate(logits, labels, mask, patients, visits, data):
    """The `calibration` of a manifest, from logits and labels [N,11] of patients at natural prevalence."""
    prior = log_odds(joint_prevalence(labels, mask))
    temperature, bias = fit_temperature_and_bias((logits + prior)[mask], labels[mask])
    made = {"priorLogOdds": [round(float(x), 5) for x in prior], "temperature": round(float(temperature), 5), "bias": round(float(bias), 5)}
    p = probability(logits, made)
    assert p.shape[1] == len(JOINTS), p.shape
    return {**made, "thresholds": {name: round(t, 5) for name, t in choose_thresholds(p[mask], labels[mask]).items()},
            "interval": {"factor": round(conformal_factor(p, labels, mask, visits), 4), "level": LEVEL},
            "patients": int(len(np.unique(patients))), "data": data}
