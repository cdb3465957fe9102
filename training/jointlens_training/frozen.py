"""Frozen encoders and a linear head: what pretrained features alone can do with few labels."""
import numpy as np
import torch

from .augment import normalise
from .baselines import ridge_scores
from .crops import JOINTS
from .train import Knobs, build, pictures


def frozen_scores(pretrained, train, *others, ridge=100.0):
    """B3: ridge logistic regression on the features of a `pretrain` checkpoint. -> scores [N,11] per folder of `others`."""
    read = lambda crops: (frozen_features(pretrained, crops), crops)
    return ridge_scores(*read(train), *(read(crops) for crops in others), ridge=ridge)


@torch.no_grad()
def frozen_features(pretrained, crops, batch=32):
    """[N,11,F]: the local encoder's features of each joint beside the global encoder's of the hand."""
    model = build(Knobs(pretrained=pretrained)).eval()
    found = []
    for i in range(0, len(crops), batch):
        whole, local = (normalise(x) for x in pictures(crops, np.arange(i, min(i + batch, len(crops)))))
        joints = model.local(local.flatten(0, 1)).view(len(whole), len(JOINTS), -1)
        found.append(torch.cat([joints, model.whole(whole)[:, None].expand(-1, len(JOINTS), -1)], 2))
    return torch.cat(found).numpy().astype(np.float64)
