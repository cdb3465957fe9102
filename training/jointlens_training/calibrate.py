"""
From prior-free logits to probabilities one may show: p = sigmoid((z + prior log-odds of the joint) / T + bias), then the hand's other
joints, then the other hand of the same visit, thresholds, and a conformal factor for the count. Made on patients at natural prevalence that training never saw
(method/training, sections 5 and 6).
"""
import numpy as np

from .crops import JOINTS, joint_prevalence
from .metrics import decisions
from .regression import linear, logistic_regression

LEVEL = 0.9
# Keeps the log-odds of a hand whose other joints all look healthy within -4.6; 0.002 to 0.02 were alike on the calibration patients.
CONTEXT_FLOOR = 0.01
JUST_ABOVE = 1e-4  # at the least factor itself the rounding would still stop one joint short
FEWEST_FOR_PAIR = 20  # positive joints with another hand beside them; fewer say more about chance


def log_odds(p):
    return np.log(p / (1 - p))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def probability(logits, calibration, mask=None, pairs=None):
    """
    logits [N,11], mask [N,11] (True: assessable; all when None), pairs [N] (row of the same visit's other hand, or -1; none when None)
    -> p [N,11]; the formula of src/inference/calibrate.ts.
    """
    alone = of_hands(logits, calibration, mask)
    return alone if pairs is None or "pair" not in calibration else with_other_hand(alone, calibration["pair"], np.ones(alone.shape, bool) if mask is None else mask, pairs)


def of_hands(logits, calibration, mask=None):
    """Each hand by itself."""
    score = (logits + np.asarray(calibration["priorLogOdds"])) / calibration["temperature"] + calibration["bias"]
    if "context" not in calibration:
        return sigmoid(score)
    context, mask = calibration["context"], np.ones(score.shape, bool) if mask is None else mask
    others = hand_context(sigmoid(score), mask, context["floor"])
    with_others = context["scale"] * score + context["weight"] * np.nan_to_num(others) + context["bias"]
    return sigmoid(np.where(np.isnan(others), score, with_others))


def hand_context(p, mask, floor=CONTEXT_FLOOR):
    """
    What the hand's other joints say of each: the log-odds of their mean probability, `floor` added to both sides. RA swells several
    joints of a hand or none. p, mask [N,11] -> [N,11], nan where no other joint is assessable.
    """
    others = mask.sum(1, keepdims=True) - mask
    mean = ((p * mask).sum(1, keepdims=True) - p * mask) / np.maximum(others, 1)
    return np.where(others > 0, np.log((mean + floor) / (1 - mean + floor)), np.nan)


def fit_context(score, labels, mask, assessable, floor=CONTEXT_FLOOR):
    """
    Logistic fit of a label on the joint's own calibrated log-odds (score [N,11]) and its hand's context, on the joints with a label
    (mask). -> the `context` of a calibration, or None where the other joints do not raise a joint's odds.
    """
    others = hand_context(sigmoid(score), assessable, floor)
    seen = mask & ~np.isnan(others)
    scale, weight, bias = logistic_regression(np.stack([score[seen], others[seen]], 1), labels[seen])
    if weight <= 0 or scale <= 0:
        return None
    return {"scale": round(float(scale), 5), "weight": round(float(weight), 5), "bias": round(float(bias), 5), "floor": floor}


def other_hand(p, mask, pairs, floor):
    """
    What the other hand of the visit says of each joint: log-odds of the same joint's probability there (`mirror`; where that joint cannot be
    read, of the hand's mean) and of the mean of all its readable joints (`across`), `floor` added to both sides. RA is roughly symmetric.
    -> mirror, across, both [N,11]; nan without another hand that can be read.
    """
    readable = mask.sum(1)
    mean = np.where(readable > 0, (p * mask).sum(1) / np.maximum(readable, 1), np.nan)
    squashed = lambda x: np.log((x + floor) / (1 - x + floor))
    there = np.where(pairs >= 0, mean[pairs], np.nan)[:, None]
    same = np.where(mask[pairs], p[pairs], there)
    return squashed(np.where(np.isnan(there), np.nan, same)), np.broadcast_to(squashed(there), p.shape)


def with_other_hand(p, pair, mask, pairs):
    """p [N,11] of hands by themselves, weighed with the other hand's (`pair` of a calibration); a hand alone keeps what it says."""
    mirror, across = other_hand(p, mask, pairs, pair["floor"])
    weighed = pair["scale"] * log_odds(np.clip(p, 1e-9, 1 - 1e-9)) + pair["mirror"] * mirror + pair["across"] * across + pair["bias"]
    return np.where(np.isnan(mirror), p, sigmoid(np.nan_to_num(weighed)))


def fit_pair(p, labels, mask, assessable, pairs, floor=CONTEXT_FLOOR):
    """
    Logistic fit of a label on the joint's log-odds by its own hand, and both of `other_hand`, on the joints with a label (mask). -> the
    `pair` of a calibration, or None where the other hand does not raise a joint's odds.
    """
    mirror, across = other_hand(p, assessable, pairs, floor)
    seen = mask & ~np.isnan(mirror)
    if labels[seen].sum() < FEWEST_FOR_PAIR:
        return None
    own = log_odds(np.clip(p[seen], 1e-9, 1 - 1e-9))
    scale, same, rest, bias = logistic_regression(np.stack([own, mirror[seen], across[seen]], 1), labels[seen])
    if scale <= 0 or same <= 0 or rest < 0:
        # The mean of the other hand adds nothing of its own: the mirrored joint alone.
        scale, same, bias = logistic_regression(np.stack([own, mirror[seen]], 1), labels[seen])
        rest = 0.0
    if scale <= 0 or same <= 0:
        return None
    return {"scale": round(float(scale), 5), "mirror": round(float(same), 5), "across": round(float(rest), 5), "bias": round(float(bias), 5), "floor": floor}


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
        raise ValueError(f"Expected scores that rise with swelling but the fitted slope is {slope:.3f}: is 1 swollen in the labels, and is each label with its own photo and side?")
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
    """
    k: the ceil(level (n + 1))-th smallest, over n visits, of the least factor whose interval holds the count. The interval is rounded outwards to whole
    joints, floor(m - k sqrt(v)) to ceil(m + k sqrt(v)), so a count up to one joint away from m needs none: max(0, |count - m| - 1) / sqrt(v).
    Without that joint the intervals were too wide (97 % of held-out patients where 90 % were promised). p, y, mask [N,11], visits [N].
    """
    residuals = []
    for name in np.unique(visits):
        seen = mask & (visits == name)[:, None]
        if seen.any():
            q = p[seen]
            residuals.append(max(0.0, abs(y[seen].sum() - q.sum()) - 1) / np.sqrt((q * (1 - q)).sum()))
    place = int(np.ceil(level * (len(residuals) + 1)))
    if place > len(residuals):
        raise ValueError(f"Expected at least {int(np.ceil(level / (1 - level) - 1e-9))} visits for a {level:.0%} interval but received {len(residuals)}")
    return float(np.sort(residuals)[place - 1] + JUST_ABOVE)


def calibrate(logits, labels, mask, patients, visits, data, carried=0.0, assessable=None, context=True, pairs=None):
    """
    The `calibration` of a manifest, from logits and labels [N,11] of patients at natural prevalence. carried [11]: log-odds that the
    logits hold already (losses.CARRY_PREVALENCE); assessable [N,11]: joints that can be read, labelled (mask) or not; pairs [N]: row of the same
    visit's other hand, or -1.
    """
    assessable = mask if assessable is None else assessable
    prior = log_odds(joint_prevalence(labels, mask)) - carried
    temperature, bias = fit_temperature_and_bias((logits + prior)[mask], labels[mask])
    made = {"priorLogOdds": [round(float(x), 5) for x in prior], "temperature": round(float(temperature), 5), "bias": round(float(bias), 5)}
    assert logits.shape[1] == len(JOINTS), logits.shape
    if context and (fitted := fit_context((logits + prior) / temperature + bias, labels, mask, assessable)):
        made["context"] = fitted
    if context and pairs is not None and (fitted := fit_pair(of_hands(logits, made, assessable), labels, mask, assessable, pairs)):
        made["pair"] = fitted
    p = probability(logits, made, assessable, pairs)
    return {**made, "thresholds": {name: round(t, 5) for name, t in choose_thresholds(p[mask], labels[mask]).items()},
            "interval": {"factor": round(conformal_factor(p, labels, mask, visits), 4), "level": LEVEL},
            "patients": int(len(np.unique(patients))), "data": data}
