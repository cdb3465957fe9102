"""A site's own photos and labels: the table of `jointlens labels export` (or made by hand) -> crops by the product's own cuts."""
import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

from .crops import JOINTS
from .export import REPOSITORY

COLUMNS = ("photo", "side", "joint", "label", "patient")


def read_labels(path):
    """
    CSV photo,side,joint,label,patient[,visit][,how] -> rows of labels.jsonl, one per hand; semicolons and tabs separate too, as spreadsheets
    of many countries write them. ValueError with the line of the first fault.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        table = csv.DictReader(file, delimiter=separator(file))
        names = [name.strip().lower() for name in table.fieldnames or []]
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise ValueError(f"Expected the columns {', '.join(COLUMNS)} in {path} but found none called {', '.join(missing)}")
        table.fieldnames = names
        hands = {}
        for row in table:
            add_label(hands, {name: (value or "").strip() for name, value in row.items() if name}, table.line_num)
    if not hands:
        raise ValueError(f"Expected labels below the header of {path} but found none")
    return list(hands.values())


def separator(file):
    """What stands most often in the header."""
    header = file.readline()
    file.seek(0)
    return max(",;\t", key=header.count)


def add_label(hands, row, line):
    fault = lambda what, value: ValueError(f"Expected {what} in line {line} but received \"{value}\"")
    joint, side = row["joint"].lower().replace(" ", ""), row["side"].lower()
    if not row["photo"] or ".." in row["photo"].replace("\\", "/").split("/"):
        raise fault("a photo of the folder", row["photo"])
    if side not in ("left", "right"):
        raise fault("left or right", row["side"])
    if joint not in JOINTS:
        raise fault(f"a joint ({', '.join(JOINTS)})", row["joint"])
    if row["label"] not in ("0", "1"):
        raise fault("the label 1 (swollen) or 0", row["label"])
    if not row["patient"]:
        raise fault("a patient", "")
    hand = hands.setdefault((row["photo"], side), {"photo": row["photo"], "side": side, "patient": row["patient"], "visit": row.get("visit") or "1",
                                                   "joints": {name: {} for name in JOINTS}})
    if hand["patient"] != row["patient"]:
        raise fault(f"the patient {hand['patient']} of {row['photo']}", row["patient"])
    if "label" in hand["joints"][joint]:
        raise fault("one label for each joint of a photo", f"a second one for {side} {joint}")
    hand["joints"][joint]["label"] = int(row["label"])


def cut_crops(photos, labels, out, whole, local):
    """Cuts every labelled hand with the product's own code (Node). `whole` and `local` are the model's sizes in pixels."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    table = out / "labels.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in labels))
    done = subprocess.run([node(), "--disable-warning=ExperimentalWarning", "training/export-crops.ts", "--labels", str(table.resolve()), "--photos", str(Path(photos).resolve()),
                           "--out", str(out.resolve()), "--global", str(whole), "--local", str(local)], cwd=REPOSITORY)
    if done.returncode != 0:
        raise ValueError(f"Expected training/export-crops.ts to cut the hands of {photos} but it ended with code {done.returncode}")


def node():
    """The Node that the lockfile pins, else the one on the path. ValueError without either."""
    pinned = REPOSITORY / "node_modules" / ".bin" / "node"
    found = str(pinned) if pinned.exists() else shutil.which("node", path=os.environ.get("PATH"))
    if not found:
        raise ValueError("Expected Node to cut the hands with: run `npm ci` in the repository first")
    return found
