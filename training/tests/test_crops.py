from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from jointlens_training.augment import augment, blend_spectrum, move, to_planes
from jointlens_training.crops import JOINTS, digest, joint_prevalence, load_crops, pairs_of, split_by_patient
from jointlens_training.evaluate import refuse_shared_patients
from jointlens_training.train import Knobs, batches, draw_weights, some_patients


def test_no_patient_is_on_both_sides_of_a_split():
    patients = np.repeat([f"p{i}" for i in range(30)], 4)
    for seed in range(20):
        kept, held = split_by_patient(patients, 0.2, seed)
        assert not set(patients[kept]) & set(patients[held])
        assert len(kept) + len(held) == len(patients) and len(set(patients[held])) == 6


def test_evaluation_refuses_a_patient_seen_in_training(folders):
    train = load_crops(folders["train"])
    with pytest.raises(ValueError, match="no patient in both"):
        refuse_shared_patients(train=train, test=train)


def test_crops_of_another_shape_are_refused(folders, tmp_path):
    for name in ("global.npy", "local.npy", "xy.npy", "mask.npy", "index.jsonl"):
        (tmp_path / name).write_bytes((folders["test"] / name).read_bytes())
    np.save(tmp_path / "mask.npy", np.ones((3, 11), np.uint8))
    with pytest.raises(ValueError, match="mask.npy of shape"):
        load_crops(tmp_path)


def test_a_second_photograph_of_a_hand_is_a_reading_of_its_own_and_no_joint_counts_twice(folders):
    test = load_crops(folders["test"])
    sides = ("left", "right", "left", "right", "left")
    rows = [{**row, "visit": "1", "side": side} for row, side in zip(test.rows, sides)]
    found = replace(test, rows=rows, patients=np.array(["p1"] * 5))
    assert found.visits().tolist() == ["p1/1", "p1/1", "p1/1#2", "p1/1#2", "p1/1#3"]
    assert pairs_of(found).tolist() == [1, 0, 3, 2, -1]


def test_the_data_digest_changes_with_a_label(folders, tmp_path):
    for name in ("global.npy", "local.npy", "xy.npy", "mask.npy", "index.jsonl"):
        (tmp_path / name).write_bytes((folders["test"] / name).read_bytes())
    assert digest(tmp_path) == digest(folders["test"])
    text = (tmp_path / "index.jsonl").read_text()
    (tmp_path / "index.jsonl").write_text(text.replace('"label": 1', '"label": 0', 1))
    assert digest(tmp_path) != digest(folders["test"])


def test_rare_joints_are_pulled_towards_the_pooled_share():
    labels, mask = np.zeros((10, 11), np.float32), np.ones((10, 11), bool)
    labels[:, 0] = 1
    prevalence = joint_prevalence(labels, mask)
    assert prevalence[0] == pytest.approx((10 + 20 / 11) / 30) and prevalence[1] == pytest.approx((20 / 11) / 30)


def test_augmentation_keeps_shapes_and_the_same_seed_gives_the_same_pictures():
    whole, local = torch.rand(2, 3, 64, 64), torch.rand(2, len(JOINTS), 3, 32, 32)
    a = augment(whole, local, torch.Generator().manual_seed(3))
    b = augment(whole, local, torch.Generator().manual_seed(3))
    assert a[0].shape == whole.shape and a[1].shape == local.shape
    assert torch.equal(a[1], b[1]) and not torch.equal(a[1], local)


def test_a_blended_spectrum_lies_between_the_two_hands_and_keeps_the_shapes():
    calm, rough = (0.5 + most * (torch.rand(1, 11, 3, 16, 16, generator=torch.Generator().manual_seed(most_seed)) - 0.5) for most, most_seed in ((0.05, 1), (0.5, 2)))
    hands = torch.cat([calm, rough])
    seed = next(seed for seed in range(9) if torch.randperm(2, generator=torch.Generator().manual_seed(seed)).tolist() == [1, 0])
    before, after = torch.fft.rfft2(hands), torch.fft.rfft2(blend_spectrum(hands, torch.Generator().manual_seed(seed)))
    least, most = torch.minimum(before.abs(), before.abs().flip(0)), torch.maximum(before.abs(), before.abs().flip(0))
    assert ((after.abs() >= least - 1e-3) & (after.abs() <= most + 1e-3)).all() and not torch.allclose(after.abs(), before.abs(), atol=1e-2)
    torch.testing.assert_close(after / after.abs(), before / before.abs(), atol=1e-2, rtol=0)
    torch.testing.assert_close(blend_spectrum(hands, torch.Generator().manual_seed(seed), most=0.0), hands, atol=1e-5, rtol=0)


def test_no_shift_no_scale_no_turn_leaves_a_picture_as_it_was():
    pictures = torch.rand(3, 3, 16, 16)
    assert torch.allclose(move(pictures, None, 0, 0, 0), pictures, atol=1e-5)


def test_pictures_become_planes_between_0_and_1():
    planes = to_planes(np.full((2, 4, 4, 3), 255, np.uint8))
    assert planes.shape == (2, 3, 4, 4) and planes.max() == 1


def test_an_epoch_holds_every_hand_once_when_patients_have_equally_many():
    patients = np.repeat(["a", "b", "c"], 2)
    rows = np.concatenate(batches(np.arange(6), SimpleNamespace(patients=patients), Knobs(batch=2), torch.Generator().manual_seed(1)))
    assert sorted(rows) == list(range(6))


def test_hands_with_a_swollen_joint_are_drawn_as_often_as_the_others():
    crops = SimpleNamespace(labels=np.array([[1.0], [0], [0], [0]]), mask=np.ones((4, 1), bool), patients=np.array(list("abcd")))
    weights = draw_weights(np.arange(4), crops, "positive")
    assert weights[0] == pytest.approx(weights[1:].sum())


def test_a_patient_with_many_photos_is_drawn_no_more_often():
    crops = SimpleNamespace(labels=np.zeros((4, 1)), mask=np.ones((4, 1), bool), patients=np.array(list("aaab")))
    weights = draw_weights(np.arange(4), crops, "patient")
    assert weights[:3].sum() == pytest.approx(weights[3])


def test_the_two_people_drawn_are_among_the_three_drawn_with_all_their_photos():
    patients = np.array(["c", "a", "b", "a", "d"])
    two, three = (set(some_patients(patients, np.arange(5), n, seed=4)) for n in (2, 3))
    assert two < three and len(set(patients[list(two)])) == 2
    assert ({1, 3} <= three) == bool({1, 3} & three)
