"""Trivial competitors and controls. Each gives scores [N,11] for calibration and test hands; a useful model must beat them clearly."""
import numpy as np

from .crops import JOINTS
from .metrics import auroc, bootstrap
from .regression import linear, logistic_regression


def redness(crops):
    """[N,11,3]: log(R/G) and log(R/B) of each crop's middle, less the mean of the hand's joints, and relative brightness."""
    h = crops.local.shape[2]
    part = slice(h // 4, 3 * h // 4)
    rgb = np.stack([crops.local[i, :, part, part].reshape(len(JOINTS), -1, 3).mean(1) for i in range(len(crops))]) + 1.0
    features = np.stack([np.log(rgb[..., 0] / rgb[..., 1]), np.log(rgb[..., 0] / rgb[..., 2]), np.log(rgb.mean(-1))], -1)
    return features - features.mean(1, keepdims=True)


def border(crops, width=10, parts=4):
    """
    [N,F]: colours of the frame around the hand, left, right and top (the arm leaves at the bottom): mean and spread of `parts` pieces
    of each side. The hand box is padded by 15 %, so the frame holds background only.
    """
    whole = crops.whole
    side = whole.shape[1] * 3 // 4
    found = []
    for i in range(len(crops)):
        strips = (whole[i, :side, :width], whole[i, :side, -width:], np.swapaxes(whole[i, :width], 0, 1))
        pieces = [piece.reshape(-1, 3) / 255.0 for strip in strips for piece in np.array_split(strip, parts)]
        found.append(np.concatenate([np.concatenate([piece.mean(0), piece.std(0)]) for piece in pieces]))
    return np.array(found)


def per_joint_one_hot(n):
    return np.broadcast_to(np.eye(len(JOINTS)), (n, len(JOINTS), len(JOINTS)))


def colour_scores(train, *others):
    """Redness and joint identity, logistic: what colour alone can do. -> scores [N,11] per folder."""
    features = lambda crops: np.concatenate([redness(crops), per_joint_one_hot(len(crops))], 2)
    w = logistic_regression(features(train)[train.mask], train.labels[train.mask])
    return [linear(features(crops), w) for crops in others]


def background_scores(train, *others):
    """Background colours only, logistic, the same score for all joints of a hand. -> scores [N,11] per folder."""
    score = background_fit(border(train), train.labels, train.mask)
    return [score(border(crops)) for crops in others]


def background_fit(x, y, mask):
    """A regression of the joints' labels on the hand's background x [N,F]. -> a function of backgrounds that gives the same score to all joints of a hand, [.,11]."""
    centre, spread = x.mean(0), x.std(0) + 1e-6
    w = logistic_regression((x - centre) / spread, (y * mask).sum(1), ridge=10.0, trials=mask.sum(1))
    return lambda other: np.repeat(linear((other - centre) / spread, w)[:, None], len(JOINTS), 1)


def background_control(*folders, folds=10, repeats=500, deals=100, seed=1):
    """
    What the background alone can tell, of every patient of all folders: each one scored by a regression that never saw them, so that the
    figure rests on many patients and not on a test set's few. -> {auroc (mean within joints), low, high (95 % patient bootstrap), patients,
    chance: [low, high]}. `chance` holds 95 % of the same figures with the labels dealt anew among the patients, when the background can tell
    nothing: how far from 0.5 so few patients stray by themselves.
    """
    x = np.concatenate([border(crops) for crops in folders])
    y, mask, patients = (np.concatenate([getattr(crops, name) for crops in folders]) for name in ("labels", "mask", "patients"))
    names, of = np.unique(patients, return_inverse=True)
    random = np.random.default_rng(seed)
    fold = (random.permutation(len(names)) % min(folds, len(names)))[of]
    scores = held_out_scores(x, y, mask, fold)
    low, high = bootstrap(lambda i: within_joint_auroc(y[i], scores[i], mask[i]), patients, repeats)
    dealt = []
    for _ in range(deals):
        rows = deal(of, random)
        dealt.append(within_joint_auroc(y[rows], held_out_scores(x, y[rows], mask[rows], fold), mask[rows]))
    return {"auroc": within_joint_auroc(y, scores, mask), "low": float(low), "high": float(high), "patients": len(names),
            "chance": [float(edge) for edge in np.quantile(dealt, (0.025, 0.975))]}


def held_out_scores(x, y, mask, fold):
    """[N,11]: each hand scored by a regression on the other folds' backgrounds x [N,F]."""
    scores = np.zeros(mask.shape)
    for k in np.unique(fold):
        rest = fold != k
        scores[~rest] = background_fit(x[rest], y[rest], mask[rest])(x[~rest])
    return scores


def deal(of, random):
    """[N]: for each hand a hand of the patient whose labels its own patient (of [N], 0..P-1) is dealt; both hands come from the same one."""
    hands = np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of))[:-1])
    rows = np.zeros(len(of), int)
    for patient, other in enumerate(random.permutation(len(hands))):
        rows[hands[patient]] = hands[other][np.arange(len(hands[patient])) % len(hands[other])]
    return rows


def within_joint_auroc(y, score, mask):
    """Mean AUROC over joints that have both classes: joint base rates cannot help. y, score, mask [N,11]."""
    found = [auroc(y[mask[:, j], j], score[mask[:, j], j]) for j in range(len(JOINTS))]
    return float(np.nanmean(found))


def folds(crops):
    """
    [N,11,3]: the published sign (Huegle et al., PMC9247561): how deep the folds across the finger are (log of the brightness change
    along it at the crop's middle), how wide the finger is (share of the middle rows that looks like the middle), and their difference in
    logs, each less the mean of the hand's joints. Crops lie with the finger upright.
    """
    h = crops.local.shape[2]
    middle, rows = slice(3 * h // 8, 5 * h // 8), slice(h // 4, 3 * h // 4)
    found = []
    for i in range(len(crops)):
        grey = np.log(crops.local[i].mean(-1) + 8.0)  # [11,h,h]
        deep = np.log(np.abs(np.diff(grey[:, rows, middle], axis=1)).mean((1, 2)) + 1e-3)
        centre = grey[:, middle, middle].mean((1, 2), keepdims=True)
        wide = np.log((np.abs(grey[:, middle] - centre) < 0.35).mean((1, 2)) + 1e-2)
        found.append(np.stack([deep, wide, wide - deep], -1))
    found = np.array(found)
    return found - found.mean(1, keepdims=True)


def fold_scores(train, *others):
    """B2: folds, finger width and joint identity, logistic. -> scores [N,11] per folder."""
    features = lambda crops: np.concatenate([folds(crops), per_joint_one_hot(len(crops))], 2)
    w = logistic_regression(features(train)[train.mask], train.labels[train.mask])
    return [linear(features(crops), w) for crops in others]


def ridge_scores(train_features, train, *others, ridge=100.0):
    """
    B3: a ridge logistic regression on frozen features [N,11,F], scaled to unit spread on the training hands; others are (features,
    crops) pairs. -> scores [N,11] each.
    """
    seen = train_features[train.mask]
    centre, spread = seen.mean(0), seen.std(0) + 1e-6
    scaled = lambda x, crops: np.concatenate([(x - centre) / spread, per_joint_one_hot(len(crops))], 2)
    w = logistic_regression(scaled(train_features, train)[train.mask], train.labels[train.mask], ridge)
    return [linear(scaled(x, crops), w) for x, crops in others]
