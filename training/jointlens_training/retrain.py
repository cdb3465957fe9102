"""
Classifier retraining (cRT, Kang et al., ICLR 2020): encoders and fusion stay, a new classifier learns on class-balanced joints. Leaves
<out>/model.pt like `train`.
"""
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from .crops import load_crops, split_by_patient
from .losses import bce
from .run_log import RunLog, command_line, commit_of
from .train import Knobs as TrainKnobs, some_patients, load_model, pictures, prepared, save


@dataclass(frozen=True)
class Knobs:
    model: str = "runs/v2/model"
    out: str = "runs/v2/model-retrained"
    epochs: int = 10
    batch: int = 512  # joints, half of them swollen
    lr: float = 1e-3
    weight_decay: float = 0.02
    threads: int = 1
    seed: int = 1


def retrain(knobs):
    torch.set_num_threads(knobs.threads)
    torch.manual_seed(knobs.seed)
    random = torch.Generator().manual_seed(knobs.seed)
    model, saved = load_model(Path(knobs.model) / "model.pt")
    trained = TrainKnobs(**saved["knobs"])
    crops = load_crops(trained.data)
    kept = split_by_patient(crops.patients, trained.hold_out, trained.seed)[0] if trained.hold_out else np.arange(len(crops))
    kept = some_patients(crops.patients, kept, trained.patients, trained.seed) if trained.patients else kept
    mask = crops.mask[kept]
    tokens, labels = tokens_of(model, crops, kept)[mask], torch.tensor(crops.labels[kept][mask])
    model.head[-1].reset_parameters()
    optimiser = torch.optim.AdamW(model.head.parameters(), lr=knobs.lr, weight_decay=knobs.weight_decay)
    log = RunLog(knobs.out, step="retrain", command=command_line(), commit=commit_of(), knobs=asdict(knobs), joints=len(labels))
    weights = balanced_weights(labels)
    for epoch in range(knobs.epochs):
        model.head.train()
        losses = []
        for rows in torch.multinomial(weights, len(labels), replacement=True, generator=random).split(knobs.batch):
            loss = bce(model.head(tokens[rows]), labels[rows, None], torch.ones(len(rows), 1))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        log.write(epoch=epoch, loss=float(np.mean(losses)))
    # Balanced classes: like `logit-adjusted`, these logits hold no prevalence.
    save(Path(knobs.out) / "model.pt", {**saved, "knobs": {**saved["knobs"], "loss": "logit-adjusted"}, "model": model.state_dict(),
                                        "training": {**saved["training"], "retrained": command_line()}})
    return model.eval()


def balanced_weights(labels):
    """labels [M] -> how often each joint is drawn, [M]: swollen joints as often as the others together."""
    return torch.where(labels > 0.5, 0.5 / (labels > 0.5).sum().clamp(min=1), 0.5 / (labels <= 0.5).sum().clamp(min=1))


@torch.no_grad()
def tokens_of(model, crops, rows, batch=32):
    """What the classifier sees, [K,11,hidden], of pictures as they are."""
    return torch.cat([model.tokens(*prepared(*pictures(crops, rows[i : i + batch]))) for i in range(0, len(rows), batch)])
