"""The global-local joint model: one encoder for the whole hand, one for all joint crops, fused per joint to one logit."""
import torch
from torch import nn

from .crops import JOINTS, MEAN, STD


class Block(nn.Module):
    """The basic block of ResNet: two 3x3 convolutions beside a 1x1 short cut."""

    def __init__(self, wide_in, wide_out, stride=2):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(wide_in, wide_out, 3, stride, 1, bias=False), nn.BatchNorm2d(wide_out), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(wide_out, wide_out, 3, 1, 1, bias=False), nn.BatchNorm2d(wide_out))
        self.short = nn.Sequential(nn.Conv2d(wide_in, wide_out, 1, stride, bias=False), nn.BatchNorm2d(wide_out))

    def forward(self, x):
        return torch.relu(self.second(self.first(x)) + self.short(x))


class Encoder(nn.Module):
    """[M,3,H,H] -> [M,width]: a ResNet, halving the picture at the stem and at every stage; `depth` blocks a stage (1: a ResNet-10, 2: a ResNet-18)."""

    def __init__(self, stem, widths, depth=1):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU())
        self.blocks = nn.Sequential(*[block for a, b in zip((stem, *widths), widths) for block in (Block(a, b), *(Block(b, b, 1) for _ in range(depth - 1)))])
        self.width = widths[-1]

    def forward(self, x):
        x = x.contiguous(memory_format=torch.channels_last)  # a third faster on a CPU
        return self.blocks(self.stem(x)).mean((2, 3))


class Attention(nn.Module):
    """One pre-norm transformer layer over the joints of one hand, in operators that every runtime has. [N,T,d] -> [N,T,d]."""

    def __init__(self, width, heads=4):
        super().__init__()
        self.heads, self.norm, self.norm2 = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))

    def forward(self, x):
        y = self.norm(x)
        split = lambda z: z.view(z.shape[0], z.shape[1], self.heads, -1).transpose(1, 2)
        q, k, v = split(self.query(y)), split(self.key(y)), split(self.value(y))
        weights = torch.softmax(q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5), -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))
        return x + self.mlp(self.norm2(x))


# Sizes of the encoders. S: what a processor trains in minutes and reads in milliseconds, 0.8 M parameters; B: for a GPU, 23 M.
TIERS = {
    "S": {"local": {"stem": 24, "widths": (32, 64, 128)}, "global": {"stem": 16, "widths": (24, 48, 96, 128)}},
    "B": {"local": {"stem": 64, "widths": (64, 128, 256, 512), "depth": 2}, "global": {"stem": 64, "widths": (64, 128, 256, 512), "depth": 2}},
}


GRADES = 3  # of swelling, above none
SKIN = (0.60, 0.46, 0.41)  # red, green, blue, 0..1: the colour in which every hand is looked at, until `train` puts that of its hands there
DARKEST = 0.02  # 0..1; below it a crop's middle is black, not skin


def skin_of(local):
    """local [N,11,3,h,h] -> [N,3,1,1], in the same scale: the mean of the joint crops' middle thirds, which are skin."""
    third = int(local.shape[-1]) // 3
    return local[..., third:-third, third:-third].mean((1, 3, 4)).view(-1, 3, 1, 1)


def under_one_light(whole, local, skin):
    """
    Colour constancy: whole [N,3,S,S] and local [N,11,3,h,h], normalised, with each channel multiplied so that the hand's skin
    (`skin_of`) has the colour `skin` [1,3,1,1] (0..1). Lamp, exposure and skin tone go; a joint redder than its neighbours stays so.
    """
    mean, std = whole.new_tensor(MEAN).view(1, 3, 1, 1), whole.new_tensor(STD).view(1, 3, 1, 1)
    gain = skin / (skin_of(local) * std + mean).clamp(min=DARKEST)
    shift = (mean * gain - mean) / std  # of a normalised value: ((n std + mean) gain - mean) / std
    return whole * gain + shift, local * gain.unsqueeze(1) + shift.unsqueeze(1)


class JointModel(nn.Module):
    """
    whole [N,3,S,S] and local [N,11,3,h,h], normalised -> logit [N,11]. A row depends on its own hand only.

    Per joint z_j = [whole; local_j; joint embedding], an MLP, one logit. Its first layer W [a; b; c] is written W1 a + W2 b + c_j.
    branches: 'both' (the reconstruction), 'local' or 'global' (single-branch baselines).
    fusion: 'paper' (joints apart) or 'mix' (one attention layer over the 11 joints in between). tier: see TIERS.
    constancy: every hand is looked at under one light (`under_one_light`), but while learning: what saw hands in many colours looks at the joint,
    what saw one colour only takes the exact colour for a sign.
    """

    def __init__(self, branches="both", fusion="paper", tier="S", hidden=256, dropout=0.2, constancy=False):
        super().__init__()
        assert branches in ("both", "local", "global"), branches
        assert fusion in ("paper", "mix"), fusion
        assert tier in TIERS, tier
        self.register_buffer("skin", torch.tensor(SKIN).view(1, 3, 1, 1) if constancy else None)
        self.whole = Encoder(**TIERS[tier]["global"]) if branches != "local" else None
        self.local = Encoder(**TIERS[tier]["local"]) if branches != "global" else None
        self.from_whole = nn.Linear(self.whole.width, hidden, bias=False) if self.whole else None
        self.from_local = nn.Linear(self.local.width, hidden, bias=False) if self.local else None
        self.joint = nn.Parameter(torch.randn(len(JOINTS), hidden) * 0.1)
        self.mix = Attention(hidden) if fusion == "mix" else nn.Identity()
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1))
        self.grade = nn.Sequential(nn.ReLU(), nn.Linear(hidden, GRADES))  # learns beside the logit where grades are known; never exported

    def forward(self, whole, local):
        return self.head(self.tokens(whole, local)).squeeze(2)

    def with_grades(self, whole, local):
        """-> logit [N,11] and log-odds [N,11,3] that the swelling is of grade 1, 2 and 3 at least."""
        tokens = self.tokens(whole, local)
        return self.head(tokens).squeeze(2), self.grade(tokens)

    def tokens(self, whole, local):
        """What the classifier sees of each joint: [N,11,hidden]."""
        if self.skin is not None and not self.training:
            whole, local = under_one_light(whole, local, self.skin)
        token = self.joint
        if self.local:
            crops = self.from_local(self.local(local.flatten(0, 1)))
            token = token + crops.view(-1, len(JOINTS), crops.shape[1])
        if self.whole:
            token = token + self.from_whole(self.whole(whole)).unsqueeze(1)
        return self.mix(token)


def parameters_of(model):
    return sum(parameter.numel() for parameter in model.parameters())
