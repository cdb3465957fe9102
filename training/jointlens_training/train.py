"""Fine-tuning: imbalance-aware training of the global-local model on crops of patients. Every knob at the top, the loop below."""
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from . import device
from .augment import augment, blend_spectrum, normalise, to_planes
from .controls import hide_hand, shuffle_labels
from .crops import digest, joint_prevalence, load_crops, split_by_patient
from .losses import LOSSES, ordinal, smooth_negatives
from .metrics import auprc, auroc
from .model import JointModel, parameters_of, skin_of
from .run_log import RunLog, command_line, commit_of


@dataclass(frozen=True)
class Knobs:
    data: str = "runs/v2/train-crops"
    out: str = "runs/v2/model"
    pretrained: str = ""  # checkpoint of `pretrain`; empty: from scratch
    branches: str = "both"  # both, local, global
    fusion: str = "paper"  # paper, mix
    constancy: bool = True  # every hand under one light, model.py
    tier: str = "S"  # size of the encoders: S, or B where a GPU trains
    loss: str = "logit-adjusted"  # see losses.py
    sampler: str = "patient"  # patient: every patient equally often; hand: every hand once; positive: half of the draws from hands with a swollen joint
    target: str = "label"  # label: what readers wrote down; truth: what the generator did, where it is known
    grades: float = 0.0  # weight of the swelling grade as a second thing to learn, where it is known; 0: off
    control: str = ""  # negative controls (controls.py): background: the hand is hidden; shuffled: labels are dealt anew
    patients: int = 0  # learn from so many only, drawn by the seed; 0: all
    epochs: int = 20
    batch: int = 8  # hands; each is one whole picture and 11 crops
    lr: float = 3e-3  # AdamW, cosine with a short warm-up
    encoder_lr: float = 1.0  # share of lr for the encoders
    weight_decay: float = 0.02
    ema: float = 0.995  # weights that are kept are a running mean; 0: off
    mixup: float = 0.0  # Beta(a, a) between hands, joint on joint; 0: off
    smooth: float = 0.02  # label smoothing, negatives only
    dropout: float = 0.2
    augment: bool = True
    spectrum: float = 0.0  # largest share of another hand's amplitudes in a joint crop's spectrum (augment.py); 0: off
    hold_out: float = 0.1  # share of the patients watched, not trained on; 0: none
    threads: int = 1  # two are a third faster on an idle machine and far slower on a busy one
    device: str = "auto"  # auto takes a GPU when there is one: then --tier B --batch 64 or more
    precision: str = "auto"  # bf16 (auto on a GPU) or fp32 (auto on a processor)
    seed: int = 1
    resume: bool = False


def train(knobs):
    """Trains and leaves <out>/model.pt: {knobs, model (EMA weights), prevalence [11], training}. Resumes from <out>/checkpoint.pt."""
    torch.set_num_threads(knobs.threads)
    torch.manual_seed(knobs.seed)
    random = torch.Generator().manual_seed(knobs.seed)
    at = device.chosen(knobs.device)
    changes = device.dice(at, random)
    crops = load_crops(knobs.data)
    kept, watched = split_by_patient(crops.patients, knobs.hold_out, knobs.seed) if knobs.hold_out else (np.arange(len(crops)), np.arange(0))
    if knobs.patients:
        kept = some_patients(crops.patients, kept, knobs.patients, knobs.seed)
    assert knobs.control in ("", "background", "shuffled"), knobs.control
    assert knobs.target in ("label", "truth"), knobs.target
    assert not (knobs.grades and (knobs.mixup or knobs.control)), "Expected grades without mixup and controls: they would not belong to the blended or hidden hands"
    taught = crops.truth if knobs.target == "truth" else crops.labels
    if knobs.control == "shuffled":
        taught = shuffle_labels(taught, crops.mask, knobs.seed)
    hide = hide_hand if knobs.control == "background" else None
    prevalence = torch.tensor(joint_prevalence(crops.labels[kept], crops.mask[kept]), dtype=torch.float32, device=at)
    model, mean = build(knobs).to(at), build(knobs).to(at)
    if model.skin is not None:
        model.skin.copy_(mean_skin(crops, kept))
    mean.load_state_dict(model.state_dict())
    optimiser = torch.optim.AdamW(parameter_groups(model, knobs), weight_decay=knobs.weight_decay, fused=at.type == "cuda")
    steps = knobs.epochs * math.ceil(len(kept) / knobs.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_cosine(step, steps))
    origin = {"command": command_line(), "seed": knobs.seed, "commit": commit_of(), "dataSha256": digest(knobs.data)}
    log = RunLog(knobs.out, **origin, knobs=asdict(knobs), device=str(at), parameters=parameters_of(model), hands=len(kept), watched=len(watched),
                 patients=len(np.unique(crops.patients[kept])), positives=float(crops.labels[kept][crops.mask[kept]].mean()))
    checkpoint = Path(knobs.out) / "checkpoint.pt"
    first = 0
    if knobs.resume and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=at)
        for part, name in ((model, "model"), (mean, "mean"), (optimiser, "optimiser"), (schedule, "schedule")):
            part.load_state_dict(state[name])
        random.set_state(state["random"].cpu())
        changes.set_state(state["changes"].cpu())
        torch.set_rng_state(state["torch"].cpu())
        first = state["epoch"] + 1

    for epoch in range(first, knobs.epochs):
        model.train()
        losses = []
        for rows in batches(kept, crops, knobs, random):
            whole, local = pictures(crops, rows, at)
            if hide:
                whole, local = hide(whole, local)
            labels, mask = torch.tensor(taught[rows], device=at), torch.tensor(crops.mask[rows], dtype=torch.float32, device=at)
            if knobs.spectrum:
                local = blend_spectrum(local, changes, knobs.spectrum)
            if knobs.augment:
                whole, local = augment(whole, local, changes)
            labels = smooth_negatives(labels, knobs.smooth)
            if knobs.mixup:
                whole, local, labels = mix_hands(whole, local, labels, knobs.mixup, random)
            with device.multiplied(at, knobs.precision):
                logits, graded = model.with_grades(*prepared(whole, local))
            loss = LOSSES[knobs.loss](logits.float(), labels, mask, prevalence=prevalence, late=epoch >= 0.8 * knobs.epochs)
            if knobs.grades:
                loss = loss + knobs.grades * ordinal(graded.float(), torch.tensor(crops.grades[rows], device=at), mask)
            assert torch.isfinite(loss), f"Expected a finite loss but received {loss.item()} in epoch {epoch}"
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            step = schedule.last_epoch
            follow(mean, model, min(knobs.ema, (1 + step) / (10 + step)))  # the first weights are soon forgotten
            losses.append(loss.item())
        log.write(epoch=epoch, loss=float(np.mean(losses)), **watch(mean, crops, watched, hide))
        save(checkpoint, {"model": model.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch,
                          "schedule": schedule.state_dict(), "random": random.get_state(), "changes": changes.get_state(), "torch": torch.get_rng_state()})
    origin["hands"], origin["patients"] = len(kept), len(np.unique(crops.patients[kept]))
    origin["meshes"] = sorted({str(crops.rows[i]["mesh"]) for i in kept if "mesh" in crops.rows[i]})
    origin["editions"] = sorted({int(crops.rows[i].get("edition", 1)) for i in kept if crops.rows[i].get("mesh")})
    origin["positiveRate"] = float(crops.labels[kept][crops.mask[kept]].mean())
    save(Path(knobs.out) / "model.pt", {"knobs": asdict(knobs), "model": mean.cpu().state_dict(), "prevalence": prevalence.tolist(), "training": origin})
    return mean


def mean_skin(crops, rows, hands=400):
    """The colour of the skin, [1,3,1,1] in 0..1, over so many hands of `rows`."""
    return skin_of(pictures(crops, rows[:: max(1, len(rows) // hands)])[1]).mean(0, keepdim=True)


def watch(model, crops, rows, hide=None):
    """Figures of rows that are not trained on; nothing without any."""
    if len(rows) == 0:
        return {}
    z, y, m = predict(model, crops, rows, change=hide), crops.labels[rows], crops.mask[rows]
    return {"watchedAuroc": auroc(y[m], z[m]), "watchedAuprc": auprc(y[m], z[m])}


def build(knobs):
    model = JointModel(knobs.branches, knobs.fusion, knobs.tier, dropout=knobs.dropout, constancy=knobs.constancy).to(memory_format=torch.channels_last)
    if knobs.pretrained:
        state = torch.load(knobs.pretrained, weights_only=True, map_location="cpu")["encoders"]
        for name in ("whole", "local"):
            encoder = getattr(model, name)
            if encoder is not None and name in state:
                encoder.load_state_dict(state[name])
    return model


def recipe_of(saved):
    """The knobs of a saved network; one that was trained before there was a knob did without."""
    return {"constancy": False, "spectrum": 0.0, **saved["knobs"]}


def load_model(path):
    """-> (model in eval mode, what was saved with it)."""
    saved = torch.load(path, weights_only=True)
    model = build(Knobs(**{**recipe_of(saved), "pretrained": ""}))
    model.load_state_dict(saved["model"])
    return model.eval(), saved


def parameter_groups(model, knobs):
    encoders = [p for name, p in model.named_parameters() if name.startswith(("whole.", "local."))]
    rest = [p for name, p in model.named_parameters() if not name.startswith(("whole.", "local."))]
    return [{"params": encoders, "lr": knobs.lr * knobs.encoder_lr}, {"params": rest, "lr": knobs.lr}]


def warm_cosine(step, steps):
    """Share of the learning rate at a step: up over the first 5 %, then a cosine to zero."""
    warm = max(1, steps // 20)
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def some_patients(patients, kept, count, seed):
    """Of the rows `kept`, those of `count` patients drawn by the seed: 5 are among 10 are among 20."""
    return kept[np.isin(patients[kept], np.random.default_rng(seed).permutation(np.unique(patients[kept]))[:count])]


def batches(kept, crops, knobs, random):
    """Rows of one epoch, in batches of knobs.batch. A last batch of one hand is left out (batch normalisation)."""
    weights = draw_weights(kept, crops, knobs.sampler)
    if weights is None:
        order = torch.randperm(len(kept), generator=random)
    else:
        order = torch.multinomial(torch.tensor(weights), len(kept), replacement=bool(weights.min() != weights.max()), generator=random)
    rows = kept[order.numpy()]
    return [np.sort(rows[i : i + knobs.batch]) for i in range(0, len(rows), knobs.batch) if len(rows) - i > 1]


def draw_weights(kept, crops, sampler):
    """How often each row of `kept` is drawn, [K], or None for once each."""
    assert sampler in ("patient", "hand", "positive"), sampler
    if sampler == "patient":
        _, inverse, sizes = np.unique(crops.patients[kept], return_inverse=True, return_counts=True)
        return 1 / sizes[inverse]
    if sampler == "positive":
        swollen = (crops.labels[kept] * crops.mask[kept]).sum(1) > 0
        return np.where(swollen, 1 / max(1, swollen.sum()), 1 / max(1, (~swollen).sum()))
    return None


def pictures(crops, rows, at=None):
    """-> whole [B,3,S,S], local [B,11,3,h,h] in 0..1, on the device `at`."""
    return to_planes(crops.whole[rows], at), to_planes(crops.local[rows], at)


def prepared(whole, local):
    """0..1 -> what the network takes."""
    return normalise(whole), normalise(local)


def mix_hands(whole, local, labels, alpha, random):
    """Blends each hand with another one, joint on joint (mixup within a joint type)."""
    share = float(np.random.default_rng(int(torch.randint(2**31, (1,), generator=random))).beta(alpha, alpha))
    other = torch.randperm(len(whole), generator=random)
    blend = lambda x: share * x + (1 - share) * x[other]
    return blend(whole), blend(local), blend(labels)


@torch.no_grad()
def follow(mean, model, decay):
    """mean <- decay mean + (1 - decay) model, all weights in one call (a GPU waits for calls, not for sums); counters are copied."""
    pairs = list(zip(mean.state_dict().values(), model.state_dict().values()))
    get_ema_multi_avg_fn(decay)(*zip(*(pair for pair in pairs if pair[0].is_floating_point())), None)
    for slow, fast in pairs:
        if not slow.is_floating_point():
            slow.copy_(fast)


@torch.no_grad()
def predict(model, crops, rows=None, change=None, batch=32):
    """Logits [K,11] of rows (all when None). change(whole, local, rows) may edit the pictures first (controls)."""
    model.eval()
    rows = np.arange(len(crops)) if rows is None else rows
    found = []
    for i in range(0, len(rows), batch):
        part = rows[i : i + batch]
        whole, local = pictures(crops, part, device.of(model))
        if change:
            whole, local = change(whole, local, part)
        found.append(model(*prepared(whole, local)).cpu().numpy())
    return np.concatenate(found).astype(np.float64)


def save(path, state):
    """Writes beside and renames: a run stopped while writing leaves the last good file."""
    partial = Path(path).with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
