import numpy as np
import torch

from jointlens_training.controls import hide_hand, hide_joints, shuffle_labels


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
