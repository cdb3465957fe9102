from dataclasses import replace

import numpy as np
import torch

from jointlens_training.baselines import background_control, deal
from jointlens_training.crops import load_crops
from jointlens_training.evaluate import confounded
from jointlens_training.controls import hide_hand, hide_joints, shuffle_labels
from jointlens_training.regression import logistic_regression


def test_shuffled_labels_keep_each_joints_prevalence_and_lose_their_hands():
    random = np.random.default_rng(1)
    labels, mask = (random.random((400, 11)) < 0.3).astype(np.float32), random.random((400, 11)) < 0.9
    dealt = shuffle_labels(labels, mask, seed=2)
    assert np.array_equal((dealt * mask).sum(0), (labels * mask).sum(0))
    assert abs(np.corrcoef(dealt[mask], labels[mask])[0, 1]) < 0.1
    assert np.array_equal(dealt[~mask], labels[~mask])


def test_a_hidden_hand_leaves_its_border_only():
    whole, local = hide_hand(torch.ones(1, 3, 24, 24), torch.ones(1, 11, 3, 8, 8))
    assert (local == 0.5).all() and (whole[..., 2:-2, 2:-2] == 0.5).all() and (whole[..., :2, :18] == 1).all()


def test_a_hidden_joint_is_grey_in_its_crop_and_in_the_whole_picture_and_the_rest_stays():
    xy = np.full((1, 11, 2), 0.5)
    pictures = torch.ones(1, 3, 100, 100), torch.ones(1, 11, 3, 8, 8)
    whole, local = hide_joints(xy)(*pictures, np.array([0]))
    assert (local == 0.5).all() and (whole[..., 42:58, 42:58] == 0.5).all()
    assert (whole[..., :40, :] == 1).all() and (pictures[0] == 1).all()


def test_the_background_control_tells_a_telling_background_from_one_that_says_nothing(folders, tmp_path):
    crops = [load_crops(folders[name]) for name in ("train", "calibration", "test")]
    made = background_control(*crops, repeats=50, deals=20)
    assert made["patients"] == 72 and made["low"] < 0.5 < made["high"] and made["chance"][0] <= made["auroc"] <= made["chance"][1]
    telling = []
    for part in crops:  # swollen hands lie on a bright cloth
        whole = np.array(part.whole)
        whole[(part.labels * part.mask).sum(1) > 2, :, :12] = 255
        telling.append(replace(part, whole=whole))
    told = background_control(*telling, repeats=50, deals=20)
    assert told["low"] > 0.55 and told["auroc"] > told["chance"][1] and told["chance"][0] < 0.5 < told["chance"][1]


def test_labels_are_dealt_by_patient_and_a_count_of_successes_is_fitted_as_its_trials_would_be():
    of = np.array([0, 0, 1, 1, 2])
    rows = deal(of, np.random.default_rng(3))
    assert len({of[row] for row in rows[:2]}) == 1 and len({of[row] for row in rows[2:4]}) == 1
    random = np.random.default_rng(1)
    x, y = random.normal(size=(40, 2)), (random.random((40, 11)) < 0.3).astype(float)
    assert np.allclose(logistic_regression(x, y.sum(1), trials=11), logistic_regression(np.repeat(x, 11, 0), y.ravel()))


def test_confounders_are_found_by_joint_by_hand_and_by_degree(folders):
    test = load_crops(folders["test"])
    rows = [{**row, "confounders": {"nodes": {}, "scars": ["mcp2"] if i == 0 else [], "ulnarDrift": i == 1, "veins": 0.9 if i == 2 else 0.1, "ring": "index" if i == 3 else None}}
            for i, row in enumerate(test.rows)]
    found = confounded(replace(test, rows=rows))
    assert set(found) == {"scars", "ulnar drift", "veins", "ring"}
    assert found["scars"].sum() == 1 and found["scars"][0, 2]
    assert [found[name].sum(1).argmax() for name in ("ulnar drift", "veins", "ring")] == [1, 2, 3] and found["veins"].sum() == 11
