"""Negative controls: what a network must not be able to do. Pictures in 0..1."""
import numpy as np
import torch

from .crops import JOINTS


def hide_hand(whole, local, _rows=None):
    """The middle of the whole picture [B,3,S,S] and every joint crop [B,11,3,h,h] turn grey; only the border stays."""
    w = whole.shape[-1] // 12
    whole, local = whole.clone(), local.clone().fill_(0.5)
    whole[..., w:-w, w:-w] = 0.5
    whole[..., -whole.shape[-1] // 4 :, :] = 0.5
    return whole, local


def hide_joints(xy, joints=range(len(JOINTS)), side=0.16):
    """-> change(whole, local, rows): the crops of `joints` (places in JOINTS) are grey and so are their squares in the whole picture; xy [N,11,2] in 0..1."""
    joints = list(joints)

    def change(whole, local, rows):
        whole, local, size = whole.clone(), local.clone(), whole.shape[-1]
        half = int(side * size / 2)
        local[:, joints] = 0.5
        for picture, points in zip(whole, (np.asarray(xy[rows]) * size).astype(int)):
            for x, y in points[joints]:
                picture[:, max(0, y - half) : max(0, y + half), max(0, x - half) : max(0, x + half)] = 0.5
        return whole, local
    return change


def shuffle_labels(labels, mask, seed):
    """Labels [N,11] dealt anew among the hands, each joint's among its own where mask [N,11]: the prevalence stays, the meaning goes."""
    random, dealt = np.random.default_rng(seed), labels.copy()
    for joint in range(labels.shape[1]):
        seen = np.flatnonzero(mask[:, joint])
        dealt[seen, joint] = labels[random.permutation(seen), joint]
    return dealt
