"""
Self-supervised pretraining of both encoders, apart, on unlabelled healthy hands: SimSiam (Chen & He, CVPR 2021) or VICReg (Bardes et al.,
ICLR 2022). Whether it helps is an ablation, never an assumption (method/training, section 3).
"""
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import device
from .augment import augment, normalise
from .crops import JOINTS, digest, load_crops
from .healthy_photos import healthy_crops
from .model import JointModel
from .run_log import RunLog, command_line, commit_of
from .train import pictures, save, warm_cosine


@dataclass(frozen=True)
class Knobs:
    data: str = "runs/v2/train-crops"
    photos: str = ""  # instead of data: a folder of healthy hands, 11k Hands layout or pictures of any name, cut into <out>/crops
    whole: int = 224  # sizes of the crops cut from photos, pixels
    local: int = 64
    out: str = "runs/v2/pretrained"
    method: str = "simsiam"  # simsiam, vicreg
    healthy_only: bool = True  # hands without any joint labelled swollen
    other_photo: float = 0.5  # share of the pairs whose second view is another photo of the same hand, where there is one
    epochs: int = 10
    batch: int = 16  # hands; 11 times as many joint crops
    lr: float = 0.05
    weight_decay: float = 1e-4
    width: int = 256  # of the projection
    threads: int = 1  # two are a third faster on an idle machine and far slower on a busy one
    tier: str = "S"  # as the network that will start from it
    device: str = "auto"  # auto takes a GPU when there is one: then --batch 128 or more
    precision: str = "auto"  # bf16 (auto on a GPU) or fp32
    seed: int = 1
    resume: bool = False


class Projector(nn.Module):
    """encoder features [M,d] -> projection z [M,width] and, for SimSiam, prediction p [M,width]."""

    def __init__(self, wide_in, width):
        super().__init__()
        self.project = nn.Sequential(nn.Linear(wide_in, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(),
                                     nn.Linear(width, width, bias=False), nn.BatchNorm1d(width, affine=False))
        self.guess = nn.Sequential(nn.Linear(width, width // 4, bias=False), nn.BatchNorm1d(width // 4), nn.ReLU(), nn.Linear(width // 4, width))

    def forward(self, features):
        z = self.project(features)
        return z, self.guess(z)


def simsiam(z1, p1, z2, p2):
    """-1/2 [cos(p1, stop z2) + cos(p2, stop z1)], all [M,d] -> scalar in -1..1."""
    return -0.5 * (F.cosine_similarity(p1, z2.detach()).mean() + F.cosine_similarity(p2, z1.detach()).mean())


def vicreg(z1, p1, z2, p2, weights=(25.0, 25.0, 1.0)):
    """Invariance, variance (hinge on a standard deviation of 1), covariance; z1, z2 [M,d] -> scalar. Predictions are not used."""
    m, d = z1.shape
    invariance = F.mse_loss(z1, z2)
    variance = sum(F.relu(1 - torch.sqrt(z.var(0) + 1e-4)).mean() for z in (z1, z2)) / 2
    covariance = 0.0
    for z in (z1, z2):
        c = (z - z.mean(0)).T @ (z - z.mean(0)) / (m - 1)
        covariance = covariance + (c.pow(2).sum() - c.diagonal().pow(2).sum()) / d
    return weights[0] * invariance + weights[1] * variance + weights[2] * covariance


METHODS = {"simsiam": simsiam, "vicreg": vicreg}


@torch.no_grad()
def collapse_monitors(features, kinds=None, neighbours=5):
    """
    features [M,d] -> std (mean standard deviation of unit features times sqrt d: 1 is spread out, 0 is collapsed), rank (effective: exp
    of the entropy of the spectrum) and, with kinds [M], knn (share of rows whose neighbours are mostly of their own kind).
    """
    unit = F.normalize(features - features.mean(0), dim=1)
    spectrum = torch.linalg.svdvals(features - features.mean(0))
    share = spectrum / spectrum.sum().clamp(min=1e-12)
    seen = {"std": float(F.normalize(features, dim=1).std(0).mean() * features.shape[1] ** 0.5),
            "rank": float(torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum()))}
    if kinds is not None:
        near = (unit @ unit.T).fill_diagonal_(-2).topk(neighbours, 1).indices
        seen["knn"] = float((torch.mode(kinds[near], 1).values == kinds).float().mean())
    return seen


def pretrain(knobs):
    """Leaves <out>/encoders.pt: {encoders: {whole, local}, knobs, training}. Resumes from <out>/checkpoint.pt."""
    torch.set_num_threads(knobs.threads)
    torch.manual_seed(knobs.seed)
    random = torch.Generator().manual_seed(knobs.seed)
    at = device.chosen(knobs.device)
    changes = device.dice(at, random)
    data = healthy_crops(knobs.photos, knobs.out, knobs.whole, knobs.local) if knobs.photos else knobs.data
    crops = load_crops(data)
    rows = np.flatnonzero((crops.labels * crops.mask).sum(1) == 0) if knobs.healthy_only else np.arange(len(crops))
    if len(rows) < knobs.batch:
        raise ValueError(f"Expected at least {knobs.batch} hands to learn from but received {len(rows)}; healthy_only=false takes all")
    model = JointModel(tier=knobs.tier).to(at, memory_format=torch.channels_last)
    heads = nn.ModuleDict({name: Projector(getattr(model, name).width, knobs.width) for name in ("whole", "local")}).to(at)
    learned = [*model.whole.parameters(), *model.local.parameters(), *heads.parameters()]
    optimiser = torch.optim.SGD(learned, lr=knobs.lr, momentum=0.9, weight_decay=knobs.weight_decay)
    steps = knobs.epochs * (len(rows) // knobs.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_cosine(step, steps))
    training = {"command": command_line(), "seed": knobs.seed, "commit": commit_of(), "dataSha256": digest(data)}
    log = RunLog(knobs.out, **training, knobs=asdict(knobs), device=str(at), hands=len(rows))
    checkpoint, first_epoch = Path(knobs.out) / "checkpoint.pt", 0
    same_hand = photos_of_each_hand(crops, rows)
    if knobs.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=at)
        for part, name in ((model, "model"), (heads, "heads"), (optimiser, "optimiser"), (schedule, "schedule")):
            part.load_state_dict(state[name])
        random.set_state(state["random"].cpu())
        changes.set_state(state["changes"].cpu())
        first_epoch = state["epoch"] + 1

    for epoch in range(first_epoch, knobs.epochs):
        model.train()
        losses = []
        for batch in torch.tensor(rows)[torch.randperm(len(rows), generator=random)].split(knobs.batch):
            if len(batch) < knobs.batch:
                continue
            first = np.sort(batch.numpy())
            views = [augment(*pictures(crops, view, at), changes, flip=0.0) for view in (first, second_photos(first, same_hand, knobs.other_photo, random))]
            loss = 0.0
            for name, side in (("whole", 0), ("local", 1)):
                with device.multiplied(at, knobs.precision):
                    features = [getattr(model, name)(flat(view[side])) for view in views]
                    made = [part.float() for f in features for part in heads[name](f)]
                loss = loss + METHODS[knobs.method](*made)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(learned, 5.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        kinds = torch.arange(len(JOINTS)).repeat(len(features[0]) // len(JOINTS))
        log.write(epoch=epoch, loss=float(np.mean(losses)), **collapse_monitors(features[0].detach().float().cpu(), kinds))
        save(checkpoint, {"model": model.state_dict(), "heads": heads.state_dict(), "optimiser": optimiser.state_dict(),
                          "schedule": schedule.state_dict(), "random": random.get_state(), "changes": changes.get_state(), "epoch": epoch})
    model.cpu()
    encoders = {"whole": model.whole.state_dict(), "local": model.local.state_dict()}
    save(Path(knobs.out) / "encoders.pt", {"encoders": encoders, "knobs": asdict(knobs), "training": training})


def photos_of_each_hand(crops, rows):
    """{row: rows of the same person's same hand, itself included}."""
    hands = {}
    for row in rows:
        hands.setdefault((crops.patients[row], crops.rows[row].get("side")), []).append(int(row))
    return {row: same for same in hands.values() for row in same}


def second_photos(rows, same_hand, share, random):
    """
    For each of rows the row of its second view: itself, or, for `share` of those that have one, another photo of the same hand (similar hands
    in other pictures teach more than two changes of one picture: SiMHand, ICLR 2025).
    """
    chosen = []
    for row in rows:
        others = [other for other in same_hand[int(row)] if other != row]
        take = bool(others) and float(torch.rand(1, generator=random)) < share
        chosen.append(others[int(torch.randint(len(others), (1,), generator=random))] if take else int(row))
    return np.array(chosen)


def flat(pictures):
    """[B,3,S,S] or [B,11,3,h,h] in 0..1 -> normalised [M,3,H,H]."""
    return normalise(pictures).flatten(0, -4)
