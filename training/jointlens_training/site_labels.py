"""A site's own photos and labels: the table of `jointlens labels export` (or made by hand) -> crops by the product's own cuts."""
import csv
import hashlib
import io
import json
import os
import posixpath
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

from .crops import JOINTS
from .export import REPOSITORY

COLUMNS = ("photo", "side", "joint", "label", "patient")
SHOWN = 5  # faults of a table, or photos, that are named at once
WHY = {"no-hand": "no hand was found in it", "other-side": "only a hand of the other side was found in it", "palmar-view": "it shows the palm",
       "ERR_PHOTO_FORMAT": "it is no JPEG, PNG or WebP photo", "ERR_PHOTO_HEIC": "HEIC cannot be read; save it as JPEG", "ERR_PHOTO_CORRUPT": "it is damaged"}


def read_labels(path):
    """
    CSV photo,side,joint,label,patient[,visit][,how] -> rows of labels.jsonl, one per hand; semicolons and tabs separate too, as spreadsheets
    of many countries write them. ValueError with the lines of the first faults. src/cli/labels-csv.ts reads the same tables.
    """
    text = text_of(path)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator(text))
    names = [name.strip().lower() for name in table.fieldnames or []]
    if missing := [name for name in COLUMNS if name not in names]:
        raise ValueError(f"Expected the columns {', '.join(COLUMNS)} in {path} but found none called {', '.join(missing)}: "
                         "the first line names the columns, and each joint has a line of its own (training/README.md shows a table)")
    if doubled := [name for name in (*COLUMNS, "visit") if names.count(name) > 1]:
        raise ValueError(f"Expected one column called {doubled[0]} in {path} but found {names.count(doubled[0])}")
    table.fieldnames = names
    found, faults = Found(), []
    for row in table:
        beyond = [value for value in row.pop(None, []) if value.strip()]
        values = {name: (value or "").strip() for name, value in row.items()}
        if not beyond and not any(values.values()):
            continue
        try:
            if beyond:
                raise fault(f"{len(names)} fields, as in the header,", beyond[0], table.line_num)
            found.add(values, table.line_num)
        except ValueError as error:
            faults.append(str(error))
    if faults:
        more = len(faults) - SHOWN
        raise ValueError("; ".join(faults[:SHOWN]) + (f"; and {more} more faults" if more > 0 else ""))
    if not found.hands:
        raise ValueError(f"Expected labels below the header of {path} but found none")
    return list(found.hands.values())


def text_of(path):
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"Expected a table of labels (CSV) at {path} but it cannot be read: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"Expected {path} in UTF-8 but line {line} is in another encoding; save it as CSV UTF-8") from error


def separator(text):
    """What stands most often in the header."""
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def fault(expected, received, line):
    return ValueError(f'Expected {expected} in line {line} but received "{received}"')


# As clinicians and spreadsheets write them, in small letters; src/cli/labels-csv.ts reads the same.
SIDES = {"left": "left", "l": "left", "left hand": "left", "links": "left", "right": "right", "r": "right", "right hand": "right", "rechts": "right"}
LABELS = {"1": 1, "1.0": 1, "yes": 1, "y": 1, "true": 1, "swollen": 1, "ja": 1, "0": 0, "0.0": 0, "no": 0, "n": 0, "false": 0, "not swollen": 0, "nein": 0}
FINGERS = ("1|1st|i|thumb|daumen", "2|2nd|ii|index", "3|3rd|iii|middle", "4|4th|iv|ring", "5|5th|v|little")


def joint_of(text):
    """'MCP II', '2nd MCP', 'index finger MCP' -> 'mcp2'; 'Thumb IP', 'PIP 1' -> 'ip1'. None for what is no joint of ours."""
    plain = re.sub(r"[\s._-]|finger|joint", "", text.lower())
    if plain in ("wrist", "handgelenk"):
        return "wrist"
    if plain == "ip":
        return "ip1"
    for number, finger in enumerate(FINGERS, start=1):
        if found := re.fullmatch(rf"(mcp|pip|ip)(?:{finger})|(?:{finger})(mcp|pip|ip)", plain):
            row = found[1] or found[2]
            joint = "ip1" if (row, number) == ("pip", 1) else f"{row}{number}"
            return joint if joint in JOINTS else None
    return None


class Found:
    """What the lines so far said: a photo belongs to one visit of one patient, and a patient has one name."""

    def __init__(self):
        self.hands, self.whose, self.names = {}, {}, {}

    def add(self, row, line):
        joint, side, label = joint_of(row["joint"]), SIDES.get(row["side"].lower()), LABELS.get(row["label"].lower())
        photo = posixpath.normpath(row["photo"].replace("\\", "/")) if row["photo"] else ""
        if photo in ("", ".") or photo.startswith("/") or ".." in photo.split("/"):
            raise fault("a photo of the folder", row["photo"], line)
        if side is None:
            raise fault("left or right", row["side"], line)
        if joint is None:
            raise fault("a joint (wrist, mcp1 to mcp5, ip1, pip2 to pip5)", row["joint"], line)
        if label is None:
            raise fault("the label 1 (swollen) or 0 (a joint that nobody judged has no line)", row["label"], line)
        if not row["patient"]:
            raise fault("a patient", "", line)
        self.of_one_visit(photo, row["patient"], row.get("visit") or "1", line)
        hand = self.hands.setdefault((photo, side), {"photo": photo, "side": side, "patient": row["patient"], "visit": row.get("visit") or "1",
                                                     "joints": {name: {} for name in JOINTS}})
        if "label" in hand["joints"][joint]:
            raise fault("one label for each joint of a photo", f"a second one for {side} {joint}", line)
        hand["joints"][joint]["label"] = label

    def of_one_visit(self, photo, patient, visit, line):
        first = self.names.setdefault(same_person(patient), patient)
        if patient != first:
            raise fault(f'one way to write the patient "{first}"', patient, line)
        whose, when = self.whose.setdefault(photo, (patient, visit))
        if patient != whose:
            raise fault(f"the patient {whose} of {photo}", patient, line)
        if visit != when:
            raise fault(f"the visit {when} of {photo}", visit, line)


def same_person(patient):
    """Names that a person or a spreadsheet writes in two ways: P1 and p1, 7 and 007, "A 3" and A3. Taken for two, one person would learn and be judged."""
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"\s", "", patient.casefold()))


def photo_digests(photos, labels):
    """{photo: SHA-256 of its bytes}. ValueError for labelled photos that are not there, or that are one picture under the names of two patients."""
    if not Path(photos).is_dir():
        raise ValueError(f'Expected --photos to be a folder but received "{photos}"')
    patient_of = {row["photo"]: row["patient"] for row in labels}
    missing = [name for name in patient_of if not (Path(photos) / name).is_file()]
    if missing:
        named = [f'"{name}"{spelt_otherwise(photos, name)}' for name in missing[:SHOWN]]
        raise ValueError(f"Expected the photos of the labels in {photos} but {len(missing)} of {len(patient_of)} are not there: "
                         + ", ".join(named) + (f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else "") + ". Correct the names, or take the lines of these photos out of the table.")
    digests, first = {}, {}
    for name, patient in patient_of.items():
        with open(Path(photos) / name, "rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
        other = first.setdefault(digests[name], name)
        if patient_of[other] != patient:
            raise ValueError(f'Expected each picture under one patient but "{other}" of {patient_of[other]} and "{name}" of {patient} are the same picture')
    return digests


def spelt_otherwise(photos, name):
    """' (there is "…")' for a file that differs in capitals, folder or ending, or in how accents are stored, which nobody sees."""
    plain = lambda text: unicodedata.normalize("NFC", text).casefold()
    asked = plain(posixpath.basename(name))
    for path in sorted(Path(photos).rglob("*")):
        if asked in (plain(path.name), plain(path.stem)):
            accents = plain(path.name) == asked and path.name.casefold() != posixpath.basename(name).casefold()
            return f' (there is "{path.relative_to(photos).as_posix()}"{", whose accents are stored in another way" if accents else ""})'
    return ""


def cut_crops(photos, labels, out, whole, local):
    """Cuts every labelled hand with the product's own code (Node), for its owner's eyes alone. `whole` and `local` are the model's sizes in pixels."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    out.chmod(0o700)
    table = out / "labels.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in labels))
    done = subprocess.run([node(), "--disable-warning=ExperimentalWarning", "training/export-crops.ts", "--labels", str(table.resolve()), "--photos", str(Path(photos).resolve()),
                           "--out", str(out.resolve()), "--global", str(whole), "--local", str(local)], cwd=REPOSITORY)
    if done.returncode != 0:
        raise ValueError(f"Expected training/export-crops.ts to cut the hands of {photos} but it ended with code {done.returncode}; where packages are missing, run `npm ci` in the repository")


def cutting_code():
    """SHA-256 in hex of what cuts hands: an upgrade may see other joints in the same photos."""
    files = [REPOSITORY / "training" / "export-crops.ts", *sorted((REPOSITORY / "src" / "inference").rglob("*.ts"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def left_out(folder):
    """Lines that say which labelled hands of a folder of crops are in no figure, and why: for the screen, since photos' names may say who is on them."""
    file = Path(folder) / "missing.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.strip()] if file.exists() else []
    lines = [f'Left out: {row["side"]} hand of "{row["photo"]}": {WHY.get(row["reason"]) or row["reason"] + " (docs/errors.md)"}' for row in rows]
    return lines if len(lines) <= 4 * SHOWN else [*lines[: 4 * SHOWN], f"and {len(lines) - 4 * SHOWN} more, all in {file}"]


def node():
    """The Node that the lockfile pins, else the one on the path. ValueError without either."""
    pinned = REPOSITORY / "node_modules" / ".bin" / "node"
    found = str(pinned) if pinned.exists() else shutil.which("node", path=os.environ.get("PATH"))
    if not found:
        raise ValueError("Expected Node to cut the hands with: run `npm ci` in the repository first")
    return found
