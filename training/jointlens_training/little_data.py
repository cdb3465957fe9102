"""What a site's labels can carry: its own calibration, only a network that learned from them, or nothing; and which figures are more than chance."""
import numpy as np

from .evaluate import ENOUGH_POSITIVES

# Own bars. With fewer a site's own calibration, thresholds and count interval are chance: those of the starting bundle are kept, unchecked.
TO_CALIBRATE = {"patients": 20, "swollen joints": 30, "joints that are not swollen": 100, "patients with a swollen joint": 10}
# With fewer some fold of the nested cross-validation has no swollen joint to learn from or to be judged on.
TO_LEARN = {"patients": 4, "swollen joints": 5, "joints that are not swollen": 20, "patients with a swollen joint": 3}
ENOUGH_FOR_INTERVAL = 10  # patients to resample, as in `jointlens model compare`


def amount_of(crops):
    """What can be read, of the same names as the bars."""
    swollen = (crops.labels * crops.mask).sum(1) > 0
    positives = int(crops.labels[crops.mask].sum())
    return {"patients": len(np.unique(crops.patients)), "swollen joints": positives, "joints that are not swollen": int(crops.mask.sum()) - positives,
            "patients with a swollen joint": len(np.unique(crops.patients[swollen]))}


def shortfall(found, least):
    """'8 patients (at least 20); …', empty where nothing is short."""
    return "; ".join(f"{found[what]} {what} (at least {fewest})" for what, fewest in least.items() if found[what] < fewest)


def refuse_too_little(found):
    """ValueError that names what is there and what was expected."""
    if short := shortfall(found, TO_LEARN):
        raise ValueError(f"Too little to learn from, of what can be read: {short}. Label more joints, swollen and not, of more patients; "
                         f"a calibration of its own needs {', '.join(f'{fewest} {what}' for what, fewest in TO_CALIBRATE.items())}.")


def kept_calibration(manifest):
    """The calibration of the starting bundle, which says that it is kept."""
    return manifest["calibration"] | {"data": f"{manifest['calibration']['data']}; kept from version {manifest['version']}, not checked on this site's patients"}


def kept_words(found, version):
    """For people, before and after a run on too few to calibrate on."""
    return (f"Too few to calibrate on: {shortfall(found, TO_CALIBRATE)}. The network learns from them; calibration, thresholds and count interval of "
            f"version {version} are kept, not made from these patients.")


def told(figure, joints, people, key=""):
    """
    A figure, or a dict of them, without what is chance: no figure where `joints` is False (fewer than 20 swollen or 20 other joints), no interval
    where `people` is (fewer than 10 patients). Names and numbers of joints stay.
    """
    if isinstance(figure, dict):
        return {name: told(inner, joints, people, name) for name, inner in figure.items()}
    chance = not joints or (not people and key.lower().endswith(("low", "high")))
    return None if isinstance(figure, float) and chance else figure


def without_chance(summary):
    """The summary of a site with only those figures that its number of joints and patients can carry."""
    data = summary["data"]
    joints = min(data["positives"], data["joints"] - data["positives"]) >= ENOUGH_POSITIVES
    people = data["patients"] >= ENOUGH_FOR_INTERVAL
    why = {} if joints else {"figures of joints": f"fewer than {ENOUGH_POSITIVES} swollen or {ENOUGH_POSITIVES} other joints"}
    why |= {} if people else {"intervals, figures of counts": f"fewer than {ENOUGH_FOR_INTERVAL} patients"}
    of_joints = ("model", "modelIntervals", "baselines", "lessBase", "perGroup", "ece", "brier")
    of_visits = ("count", "countIntervalCoverage")
    return (summary | {key: told(summary[key], joints, people) for key in of_joints} | {key: told(summary[key], people, people) for key in of_visits}
            | {"notes": summary["notes"] | why})
