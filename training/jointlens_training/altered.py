"""
The same photographs, altered: does a network go on looking at the joints? Light and colour change and findings should stay; a joint is
covered and its own finding should go while its neighbours' stay. Pictures in 0..1; figures at the threshold for counts.
"""
import numpy as np
import torch

from .calibrate import probability
from .controls import hide_joints
from .crops import JOINTS, pairs_of
from .metrics import auroc
from .train import predict

LUMINANCE = (0.213, 0.715, 0.072)


def tinted(red, blue):
    """-> change: the light's colour, as gains of red and blue."""
    def change(whole, local, _rows=None):
        gain = whole.new_tensor((red, 1.0, blue)).view(3, 1, 1)
        return (whole * gain).clamp(0, 1), (local * gain).clamp(0, 1)
    return change


def turned_hue(degrees):
    """-> change: every colour turned around the grey axis (the matrix of SVG's and CSS's hue-rotate)."""
    angle = np.deg2rad(degrees)
    grey = np.array([LUMINANCE] * 3)
    across = np.array([[-0.213, -0.715, 0.928], [0.143, 0.140, -0.283], [-0.787, 0.715, 0.072]])
    matrix = grey + np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * across

    def change(whole, local, _rows=None):
        turn = lambda x: torch.einsum("ij,...jhw->...ihw", x.new_tensor(matrix), x).clamp(0, 1)
        return turn(whole), turn(local)
    return change


def exposed(gain):
    """-> change: a longer or shorter exposure."""
    return lambda whole, local, _rows=None: ((whole * gain).clamp(0, 1), (local * gain).clamp(0, 1))


def without_colour(whole, local, _rows=None):
    grey = lambda x: (x * x.new_tensor(LUMINANCE).view(3, 1, 1)).sum(-3, keepdim=True).expand_as(x)
    return grey(whole), grey(local)


def coarse(whole, local, _rows=None):
    """Half the pixels and back: a lens out of focus, a far-away hand."""
    def blur(x):
        flat, side = x.flatten(0, -4), x.shape[-1]
        small = torch.nn.functional.avg_pool2d(flat, 2)
        return torch.nn.functional.interpolate(small, size=(side, side), mode="bilinear", align_corners=False).view_as(x)
    return blur(whole), blur(local)


# Name in the table: how every picture of the hand changes. Gains of 15 % are what phones differ by under one lamp.
ALTERATIONS = {
    "hue turned by +20 degrees": turned_hue(20),
    "hue turned by -20 degrees": turned_hue(-20),
    "warm light": tinted(1.15, 0.85),
    "cold light": tinted(0.85, 1.15),
    "30 % darker": exposed(0.7),
    "30 % brighter": exposed(1.3),
    "half the pixels": coarse,
    "no colour at all": without_colour,
}


def altered(model, test, calibration, elsewhere=None):
    """
    -> {"photographs": {name: {auroc, sensitivity, specificity, equal}}, "covered": {flagged, stillFlagged, otherJointsEqual}, "background":
    None or {hands, auroc, aurocBefore, equal}}, against the labels. `equal`: share of the joints whose decision is that of the photograph as
    it was. `covered`: each joint alone under a grey square; of the joints that were flagged the share that still is, and of the hand's
    other joints the share whose decision stays. `background`: the hands of the crops `elsewhere`, test photos by the same names on other
    backgrounds. ValueError for one that is not among the test photos.
    """
    m, y, threshold = test.mask, test.labels, calibration["thresholds"]["f1"]
    probabilities = lambda change: probability(predict(model, test, change=change), calibration, test.assessable, pairs_of(test))
    untouched = probabilities(None)
    flagged = untouched >= threshold

    def figures(p):
        now = p >= threshold
        return {"auroc": auroc(y[m], p[m]), "sensitivity": float(now[m & (y == 1)].mean()), "specificity": float((~now)[m & (y == 0)].mean()),
                "equal": float((now == flagged)[m].mean())}

    still, others = [], []
    for joint in range(len(JOINTS)):
        now = probabilities(hide_joints(test.xy, [joint])) >= threshold
        still.append(now[:, joint][m[:, joint] & flagged[:, joint]])
        rest = m.copy()
        rest[:, joint] = False
        others.append((now == flagged)[rest])
    still, others = np.concatenate(still), np.concatenate(others)
    return {"photographs": {"as they were": figures(untouched), **{name: figures(probabilities(change)) for name, change in ALTERATIONS.items()}},
            "covered": {"flagged": int(len(still)), "stillFlagged": float(still.mean()) if len(still) else None, "otherJointsEqual": float(others.mean())},
            "background": elsewhere and on_other_backgrounds(model, test, untouched, calibration, elsewhere)}


def on_other_backgrounds(model, test, untouched, calibration, elsewhere):
    place = {row["photo"]: i for i, row in enumerate(test.rows)}
    if strange := [row["photo"] for row in elsewhere.rows if row["photo"] not in place]:
        raise ValueError(f"Expected test photos on other backgrounds but received {strange[0]}, which is none of the {len(test)} test photos")
    same = [place[row["photo"]] for row in elsewhere.rows]
    before, m, y = untouched[same], test.mask[same] & elsewhere.mask, elsewhere.labels
    after = probability(predict(model, elsewhere), calibration, elsewhere.assessable, pairs_of(elsewhere))
    threshold = calibration["thresholds"]["f1"]
    return {"hands": len(same), "aurocBefore": auroc(y[m], before[m]), "auroc": auroc(y[m], after[m]), "equal": float(((after >= threshold) == (before >= threshold))[m].mean())}


def altered_table(made):
    """Markdown lines of what `altered` returns."""
    covered = made["covered"]
    lines = ["| the same photographs, altered | AUROC | sensitivity | specificity | decisions that stay |", "|---|---|---|---|---|",
             *[f"| {name} | {part['auroc']:.3f} | {part['sensitivity']:.3f} | {part['specificity']:.3f} | {part['equal']:.1%} |" for name, part in made["photographs"].items()], ""]
    if covered["stillFlagged"] is not None:
        lines += [f"One joint at a time under a grey square: of {covered['flagged']} flagged joints {covered['stillFlagged']:.1%} are still flagged when they alone are covered; "
                  f"{covered['otherJointsEqual']:.1%} of the decisions on the hand's other joints stay.", ""]
    if background := made.get("background"):
        lines += [f"The same {background['hands']} hands on other backgrounds, to which the camera exposes anew: AUROC {background['auroc']:.3f} (before: {background['aurocBefore']:.3f}); "
                  f"{background['equal']:.1%} of the decisions stay.", ""]
    return lines
