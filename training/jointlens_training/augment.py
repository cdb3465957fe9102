"""What differs between two photographs of the same hand, on tensors. Folds and redness are the signal: blur, noise and hue stay weak."""
import math

import torch
import torch.nn.functional as F

from .crops import MEAN, STD


def to_planes(pictures, at=None):
    """u8 [...,H,W,3] -> float32 [...,3,H,W] in 0..1, on the device `at`."""
    return torch.as_tensor(pictures).to(at).movedim(-1, -3).float().div_(255)


def normalise(planes):
    """0..1 -> (x - mean) / std per channel. planes: [...,3,H,W]."""
    return (planes - planes.new_tensor(MEAN).view(3, 1, 1)) / planes.new_tensor(STD).view(3, 1, 1)


def uniform(shape, pictures, generator=None):
    """Numbers in 0..1 where the pictures are; the generator lives there too."""
    return torch.rand(shape, generator=generator, device=pictures.device)


def light(whole, local, generator=None, strength=1.0):
    """
    One light and one camera per hand: exposure, tone curve, white balance, saturation; the crops follow the whole picture.
    whole [B,3,S,S], local [B,11,3,h,h] in 0..1; both returned in 0..1.
    """
    b = len(whole)
    draw = lambda *shape: (uniform(shape, whole, generator) * 2 - 1) * strength
    gain = torch.exp(0.2 * draw(b, 1, 1, 1) + 0.04 * draw(b, 3, 1, 1))
    bend = 0.4 * draw(b, 1, 1, 1)  # of the tone curve x + bend x (1 - x), a gamma that costs no powers
    saturation = 1 + 0.2 * draw(b, 1, 1, 1)

    def shine(x, gain, bend, saturation):
        x = x * (1 + bend - bend * x)
        grey = x.mean(-3, keepdim=True).mul_(1 - saturation)
        return x.mul_(saturation).add_(grey).mul_(gain).clamp_(0, 1)

    return shine(whole, gain, bend, saturation), shine(local, gain[:, None], bend[:, None], saturation[:, None])


def move(pictures, generator=None, shift=0.03, scale=0.05, turn=8.0, flip=0.0):
    """
    Landmarks are never exact: shift (share of the side), scale and turn (degrees) each picture, edges replicated.
    pictures [M,3,h,h] in 0..1; `flip` is the chance of a mirror image.
    """
    m = len(pictures)
    draw = lambda: uniform((m,), pictures, generator) * 2 - 1
    angle, size = math.radians(turn) * draw(), torch.exp(scale * draw())
    mirror = torch.where(uniform((m,), pictures, generator) < flip, -1.0, 1.0)
    cos, sin = size * torch.cos(angle), size * torch.sin(angle)
    rows = torch.stack([torch.stack([cos * mirror, -sin, 2 * shift * draw()], 1), torch.stack([sin * mirror, cos, 2 * shift * draw()], 1)], 1)
    grid = F.affine_grid(rows, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def soften(pictures, generator=None, chance=0.1):
    """A slight 3x3 blur on some pictures [M,3,h,h]: a lens a little out of focus."""
    chosen = uniform((len(pictures),), pictures, generator) < chance
    if chosen.any():
        blurred = F.avg_pool2d(F.pad(pictures[chosen], (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        pictures = pictures.index_copy(0, chosen.nonzero()[:, 0], 0.5 * pictures[chosen] + 0.5 * blurred)
    return pictures


def grain(pictures, generator=None, most=0.01):
    """Sensor noise, as strong as `most` at most (standard deviation, 0..1)."""
    sigma = most * uniform((len(pictures), 1, 1, 1), pictures, generator)
    return pictures + sigma * torch.randn(pictures.shape, generator=generator, device=pictures.device)


def erase(pictures, generator=None, chance=0.1, side=0.2):
    """A grey square (a ring, a hair, a plaster) on some pictures [M,3,h,h]."""
    m, h = len(pictures), pictures.shape[-1]
    size = (side * h * uniform((m,), pictures, generator)).clamp(min=2)
    corner = uniform((m, 2), pictures, generator) * (h - size[:, None])
    line = torch.arange(h, device=pictures.device)
    inside = lambda start: (line >= start[:, None]) & (line < (start + size)[:, None])
    hit = (inside(corner[:, 0])[:, :, None] & inside(corner[:, 1])[:, None, :]) & (uniform((m,), pictures, generator) < chance)[:, None, None]
    return torch.where(hit[:, None], pictures.new_tensor(0.5), pictures)


def blend_spectrum(local, generator=None, most=1.0):
    """
    Each crop [B,11,3,h,h] (0..1) with up to `most` of the amplitudes of the same joint of another hand, and its own phases: shapes stay, and what
    one camera or one maker does to texture is no sign of swelling (Xu et al., Fourier-based domain generalization, CVPR 2021).
    """
    other = torch.randperm(len(local), generator=generator, device=local.device)
    share = most * uniform((len(local), 1, 1, 1, 1), local, generator)
    waves = torch.fft.rfft2(local)
    size = waves.abs()
    blended = (1 - share) * size + share * size[other]
    return torch.fft.irfft2(blended * waves / size.clamp(min=1e-6), s=local.shape[-2:]).clamp(0, 1)


def augment(whole, local, generator=None, flip=0.5):
    """whole [B,3,S,S], local [B,11,3,h,h] in 0..1 -> the same shapes, another photograph of the same joints."""
    whole, local = light(whole, local, generator)
    crops = local.flatten(0, 1)
    crops = move(crops, generator, flip=flip)
    crops = erase(grain(soften(crops, generator), generator), generator)
    whole = grain(move(whole, generator, shift=0.03), generator)
    return whole, crops.view_as(local)
