import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from jointlens_training import calibration_step, evaluate, export, train  # noqa: E402
from jointlens_training.crops import JOINTS  # noqa: E402

torch.set_num_threads(1)  # pictures this small gain nothing from more


def write_crops(folder, split, patients, rate, seed, whole=64, local=32):
    """Made-up hands in the exporter's layout: a swollen joint's crop is redder than the others. Two hands a patient."""
    random = np.random.default_rng(seed)
    n = 2 * patients
    swollen = random.random((n, len(JOINTS))) < rate
    mask = (random.random((n, len(JOINTS))) > 0.05).astype(np.uint8)
    local_pictures = random.integers(60, 180, (n, len(JOINTS), local, local, 3))
    local_pictures[..., 0] += (50 * swollen)[:, :, None, None]
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "global.npy", random.integers(0, 255, (n, whole, whole, 3)).astype(np.uint8))
    np.save(folder / "local.npy", local_pictures.astype(np.uint8))
    np.save(folder / "xy.npy", random.random((n, len(JOINTS), 2)).astype(np.float32))
    np.save(folder / "mask.npy", mask)
    with open(folder / "index.jsonl", "w") as file:
        for i in range(n):
            joints = {joint: {"label": int(s), "trueLabel": int(s), "swelling": int(s) * 2, "erythema": 0, "readers": [int(s), int(s)]}
                      for joint, s in zip(JOINTS, swollen[i])}
            row = {"photo": f"{split}-{i}.jpg", "patient": f"{split}-{i // 2:04d}", "visit": 1, "side": ("left", "right")[i % 2],
                   "skinTone": 1 + i % 10, "joints": joints, "confounders": {"nodes": {}}, "split": split, "landmarksDigest": "0" * 64}
            file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("crops")
    return {"train": write_crops(root / "train", "train", 24, 0.4, 1), "calibration": write_crops(root / "calibration", "calibration", 24, 0.2, 2),
            "test": write_crops(root / "test", "test", 24, 0.2, 3), "root": root}


@pytest.fixture(scope="session")
def bundle(folders):
    root = folders["root"]
    run = str(root / "run")
    train.train(train.Knobs(data=str(folders["train"]), out=run, epochs=5, batch=8, ema=0.8, augment=False, lr=3e-3, threads=1))
    calibration_step.calibrate_model(calibration_step.Knobs(data=str(folders["calibration"]), model=run))
    evaluate.evaluate(evaluate.Knobs(str(folders["train"]), str(folders["calibration"]), str(folders["test"]), run, repeats=50, results=str(root / "results")))
    folder = export.export(export.Knobs(model=run, golden=str(folders["test"]), summary=str(root / "results" / "summary.json"), out=str(root / "models")))
    return folder
