"""Crops of hands as training/export-crops.ts writes them: the same landmarks and the same cuts as in inference."""
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# The order of every tensor, manifest and table (src/joints/hand-joint.ts).
JOINTS = ("wrist", "mcp1", "mcp2", "mcp3", "mcp4", "mcp5", "ip1", "pip2", "pip3", "pip4", "pip5")
GROUPS = {
    "wrist": ("wrist",),
    "MCP": ("mcp1", "mcp2", "mcp3", "mcp4", "mcp5"),
    "thumb IP and PIP": ("ip1", "pip2", "pip3", "pip4", "pip5"),
}
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Crops:
    """N hands. Pictures stay on disk (memory maps, u8, channels last); labels and who is who are in memory."""

    folder: Path
    whole: np.ndarray  # [N,S,S,3] u8, the `global` picture
    local: np.ndarray  # [N,11,h,h,3] u8
    xy: np.ndarray  # [N,11,2] f32, joint positions in the whole picture, 0..1
    assessable: np.ndarray  # [N,11] bool, True where the joint can be read
    mask: np.ndarray  # [N,11] bool, True where the joint is assessable and has a label
    labels: np.ndarray  # [N,11] f32, what the reader said: 1 swollen
    truth: np.ndarray  # [N,11] f32, what the generator did; equals labels where it is not known
    grades: np.ndarray  # [N,11] f32, swelling grade 0 to 3; nan where it is not known
    patients: np.ndarray  # [N] str
    rows: list  # [N] dict, index.jsonl

    def __len__(self):
        return len(self.rows)

    def visits(self):
        """
        [N] str: one name per patient and visit, the unit of a joint count. A second photograph of the same hand is a reading of its own
        (`#2`), with the second one of the other hand: no joint counts twice.
        """
        names, taken = [], {}
        for patient, row in zip(self.patients, self.rows):
            visit = f"{patient}/{row.get('visit', 0)}"
            hand = (visit, row.get("side", ""))
            taken[hand] = taken.get(hand, 0) + 1
            names.append(visit if taken[hand] == 1 else f"{visit}#{taken[hand]}")
        return np.array(names)


def pairs_of(crops, rows=None):
    """[K]: for each of rows (all when None) the place, among them, of the same visit's other hand; -1 without one."""
    rows = np.arange(len(crops)) if rows is None else np.asarray(rows)
    visits, sides = crops.visits()[rows], np.array([crops.rows[i].get("side", "") for i in rows])
    first = {}
    for place, key in enumerate(zip(visits, sides)):
        first.setdefault(key, place)
    other = {"left": "right", "right": "left"}
    return np.array([first.get((visit, other.get(side)), -1) for visit, side in zip(visits, sides)])


def load_crops(folder):
    """Opens a folder of crops and checks that its parts belong together. Raises ValueError with the numbers."""
    folder = Path(folder)
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines() if line.strip()]
    whole, local, xy, mask = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("global", "local", "xy", "mask"))
    n, joints = len(rows), len(JOINTS)
    expected = {"global": (n, *whole.shape[1:3], 3), "local": (n, joints, *local.shape[2:4], 3), "xy": (n, joints, 2), "mask": (n, joints)}
    for name, array in {"global": whole, "local": local, "xy": xy, "mask": mask}.items():
        if array.shape != expected[name]:
            raise ValueError(f"Expected {name}.npy of shape {expected[name]} in {folder} but received {array.shape}")
    if n == 0:
        raise ValueError(f"Expected hands in {folder} but found none")
    labels, known = _labels(rows, "label")
    truth, true_known = _labels(rows, "trueLabel")
    grades, grade_known = _labels(rows, "swelling")
    patients = np.array([str(row["patient"]) for row in rows])
    assessable = np.asarray(mask).astype(bool)
    return Crops(folder, whole, local, np.asarray(xy), assessable, assessable & known, labels,
                 np.where(true_known, truth, labels).astype(np.float32),
                 np.where(grade_known, grades, np.nan).astype(np.float32), patients, rows)


@dataclass(frozen=True)
class GoldenHands:
    """The golden hands of a bundle: pictures without labels."""

    whole: np.ndarray  # [K,S,S,3] u8
    local: np.ndarray  # [K,11,h,h,3] u8
    rows: list

    def __len__(self):
        return len(self.whole)


def golden_hands(folder):
    """The hands of <bundle>/golden/inputs.u8: whole picture, then 11 crops, each hand; cut with the landmark networks its manifest names."""
    manifest = json.loads((Path(folder) / "manifest.json").read_bytes())
    whole, local = manifest["inputs"]["global"]["size"], manifest["inputs"]["local"]["size"]
    hands = np.frombuffer((Path(folder) / manifest["golden"]["inputs"]).read_bytes(), np.uint8).reshape(manifest["golden"]["hands"], -1)
    cut = whole * whole * 3
    return GoldenHands(hands[:, :cut].reshape(-1, whole, whole, 3), hands[:, cut:].reshape(-1, len(JOINTS), local, local, 3),
                       [{"landmarksDigest": manifest["landmarks"].get("digest")}] * len(hands))


def _labels(rows, key):
    values = [[row["joints"][joint].get(key) for joint in JOINTS] for row in rows]
    known = np.array([[value is not None for value in row] for row in values])
    return np.array([[float(value or 0) for value in row] for row in values], np.float32), known


def digest(folder):
    """SHA-256 in hex over the pictures, masks and labels of a folder: names the data that a model was trained on."""
    sha = hashlib.sha256()
    for name in ("index.jsonl", "global.npy", "local.npy", "mask.npy"):
        with open(Path(folder) / name, "rb") as file:
            while chunk := file.read(1 << 20):
                sha.update(chunk)
    return sha.hexdigest()


def split_by_patient(patients, share, seed):
    """Indices (kept [K], held out [H]): about `share` of the patients are held out, each patient with every photo of theirs."""
    names = np.unique(patients)
    if not 0 < share < 1 or len(names) < 2:
        raise ValueError(f"Expected a share between 0 and 1 of at least 2 patients but received {share} of {len(names)}")
    held = np.random.default_rng(seed).permutation(names)[: max(1, round(share * len(names)))]
    out = np.isin(patients, held)
    return np.flatnonzero(~out), np.flatnonzero(out)


def joint_prevalence(labels, mask, strength=20.0):
    """[11] share of positive joints per joint, pulled towards the pooled share as by `strength` more joints of each."""
    pooled = labels[mask].mean()
    positives = (labels * mask).sum(0) + strength * pooled
    return positives / (mask.sum(0) + strength)
