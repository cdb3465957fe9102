"""Where tensors live and how exactly they are multiplied: a GPU in bfloat16 when there is one, else the processor in float32."""
import contextlib

import torch


def chosen(device="auto"):
    """auto, cpu, cuda or cuda:N -> torch.device; `auto` takes a GPU when there is one. ValueError for one that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = torch.device(device)
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"Expected a GPU for --device {device} but PyTorch sees none; --device auto takes the processor then")
    return found


def multiplied(device, precision="auto"):
    """A context in which products are taken in bfloat16 (`bf16`) or as they are (`fp32`); `auto`: bfloat16 on a GPU. Weights stay float32."""
    if precision not in ("auto", "fp32", "bf16"):
        raise ValueError(f"Expected precision to be auto, fp32 or bf16 but received {precision}")
    if precision == "bf16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def dice(device, random):
    """What pictures are changed by: the run's own generator on the processor, one seeded from it on a GPU."""
    if device.type == "cpu":
        return random
    return torch.Generator(device).manual_seed(int(torch.randint(2**31, (1,), generator=random)))


def of(model):
    """The device a model lives on."""
    return next(model.parameters()).device
