"""Figures for rare positives, in numpy. y: 0/1 [M], p or score: [M], flat over the joints that count."""
import numpy as np

from .regression import logistic_regression


def auroc(y, score):
    """Chance that a positive scores above a negative, ties half. nan without both classes."""
    y = np.asarray(y, bool)
    positives, negatives = y.sum(), (~y).sum()
    if positives == 0 or negatives == 0:
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[y].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auprc(y, score):
    """Average precision: the mean precision at each recall step, tied scores taken together. nan without positives."""
    y = np.asarray(y, float)
    if y.sum() == 0:
        return float("nan")
    order = np.argsort(-np.asarray(score), kind="stable")
    hits, ends = np.cumsum(y[order]), np.flatnonzero(np.append(np.diff(np.asarray(score)[order]) != 0, True))
    precision, recall = hits[ends] / (ends + 1), hits[ends] / y.sum()
    return float((precision * np.diff(recall, prepend=0)).sum())


def decisions(y, flagged):
    """Sensitivity, specificity, PPV, NPV, F1, G-mean, MCC of yes/no decisions. 0 where a ratio has no cases."""
    y, flagged = np.asarray(y, bool), np.asarray(flagged, bool)
    tp, fp, fn, tn = (float(x.sum()) for x in (y & flagged, ~y & flagged, y & ~flagged, ~y & ~flagged))
    ratio = lambda a, b: a / b if b else 0.0
    sensitivity, specificity = ratio(tp, tp + fn), ratio(tn, tn + fp)
    return {"sensitivity": sensitivity, "specificity": specificity, "ppv": ratio(tp, tp + fp), "npv": ratio(tn, tn + fn),
            "f1": ratio(2 * tp, 2 * tp + fp + fn), "gmean": (sensitivity * specificity) ** 0.5,
            "mcc": ratio(tp * tn - fp * fn, ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5)}


def brier(y, p):
    return float(np.mean((np.asarray(p) - np.asarray(y)) ** 2))


def ece(y, p, bins=10):
    """Expected calibration error over `bins` equal widths: mean |share of positives - mean probability|, weighted by size."""
    y, p = np.asarray(y, float), np.asarray(p, float)
    place = np.minimum((p * bins).astype(int), bins - 1)
    return float(sum(abs(y[place == b].sum() - p[place == b].sum()) for b in range(bins)) / len(y))


def calibration_line(y, p):
    """Slope and intercept of the logistic line of y on the log-odds of p: 1 and 0 when p means what it says; slope below 1: too sure. p in 0..1."""
    p = np.clip(np.asarray(p, float), 1e-6, 1 - 1e-6)
    slope, intercept = logistic_regression(np.log(p / (1 - p))[:, None], np.asarray(y, float), ridge=1e-6)
    return float(slope), float(intercept)


def agreement(a, b):
    """ICC(2,1), absolute agreement of two raters' counts (Shrout and Fleiss 1979). a, b [V]; nan when nothing differs."""
    x = np.stack([a, b], 1).astype(float)
    n, k = x.shape
    rows, columns, whole = x.mean(1), x.mean(0), x.mean()
    between = k * ((rows - whole) ** 2).sum() / (n - 1)
    raters = n * ((columns - whole) ** 2).sum() / (k - 1)
    error = ((x - rows[:, None] - columns[None] + whole) ** 2).sum() / ((n - 1) * (k - 1))
    spread = between + (k - 1) * error + k * (raters - error) / n
    return float((between - error) / spread) if spread else float("nan")


def counts(y, p, mask, visits, threshold, factor):
    """
    Joint counts per visit, over assessable joints only. y, p, mask [N,11]; visits [N].
    -> dict of arrays [V]: true, suggested, mean, low, high (method/training, section 6).
    """
    names = np.unique(visits)
    rows = {key: np.zeros(len(names)) for key in ("true", "suggested", "mean", "low", "high", "joints")}
    for i, name in enumerate(names):
        seen = mask & (visits == name)[:, None]
        true, q = y[seen], p[seen]
        m, v, n = q.sum(), (q * (1 - q)).sum(), len(q)
        k = (q >= threshold).sum()
        low, high = max(0, np.floor(m - factor * v**0.5)), min(n, np.ceil(m + factor * v**0.5))
        for key, value in zip(rows, (true.sum(), k, m, min(low, k), max(high, k), n)):
            rows[key][i] = value
    return rows


def bootstrap(statistic, patients, repeats=2000, seed=1, level=0.95):
    """
    Percentile interval over resampled patients. statistic(indices) -> float or array; patients [M] names each row's patient.
    A patient drawn twice counts twice. -> (low, high), nan where the statistic is not defined.
    """
    _, inverse = np.unique(patients, return_inverse=True)
    rows = np.split(np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))[:-1])
    random = np.random.default_rng(seed)
    draws = [statistic(np.concatenate([rows[i] for i in random.integers(len(rows), size=len(rows))])) for _ in range(repeats)]
    tail = (1 - level) / 2
    return tuple(np.nanquantile(np.array(draws, float), [tail, 1 - tail], axis=0))
