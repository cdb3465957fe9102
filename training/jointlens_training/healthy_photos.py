"""Photos of healthy hands that a user supplies, without labels: the 11k Hands layout, or any folder of pictures -> crops to pretrain on."""
import csv
from pathlib import Path

from .crops import JOINTS
from .site_labels import cut_crops

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def healthy_rows(folder):
    """
    Rows of labels.jsonl, one per hand to look for. With a HandInfo.csv (11k Hands: id, aspectOfHand, imageName) dorsal photos of its people, in the
    folder or in its sub-folder Hands; else every picture below the folder, whichever hand it shows, people named by sub-folder, or each
    picture a person. ValueError when nothing is found.
    """
    folder = Path(folder)
    info = next((path for name in ("HandInfo.csv", "HandInfo.txt") if (path := folder / name).exists()), None)
    rows = of_11k_hands(folder, info) if info else of_pictures(folder)
    if not rows:
        raise ValueError(f"Expected photos of hands in {folder} ({', '.join(PICTURES)}, or HandInfo.csv of 11k Hands beside them) but found none")
    return rows


def of_11k_hands(folder, info):
    """The dorsal photos of the table that are there."""
    at = folder / "Hands" if (folder / "Hands").is_dir() else folder
    with open(info, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file)
        missing = [name for name in ("id", "aspectOfHand", "imageName") if name not in (table.fieldnames or [])]
        if missing:
            raise ValueError(f"Expected the columns id, aspectOfHand and imageName in {info} but found none called {', '.join(missing)}")
        return [row_of(at.joinpath(line["imageName"]).relative_to(folder), side, f"11k-{line['id']}") for line in table
                for view, _, side in [line["aspectOfHand"].strip().lower().partition(" ")]
                if view == "dorsal" and side in ("left", "right") and at.joinpath(line["imageName"]).is_file()]


def of_pictures(folder):
    """Both sides are asked of every picture; the one that is not there is passed over when the crops are cut."""
    found = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURES]
    return [row_of(path, side, path.parts[0] if len(path.parts) > 1 else path.stem) for path in found for side in ("left", "right")]


def row_of(path, side, patient):
    return {"photo": path.as_posix(), "side": side, "patient": patient, "joints": {joint: {} for joint in JOINTS}}


def healthy_crops(photos, out, whole, local):
    """Cuts the hands of `photos` into <out>/crops, once. -> that folder."""
    folder = Path(out) / "crops"
    if not (folder / "crops.json").exists():
        cut_crops(photos, healthy_rows(photos), folder, whole, local)
    return folder
