from dataclasses import replace

import numpy as np
import pytest
import torch

from jointlens_training.altered import ALTERATIONS, altered, altered_table, exposed, tinted, turned_hue, without_colour
from jointlens_training.controls import hide_joints
from jointlens_training.crops import load_crops


def test_a_turn_of_the_hue_keeps_grey_and_comes_back():
    random = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    local = random[:, None].expand(2, 11, 3, 8, 8)
    there, _ = turned_hue(20)(random, local)
    back, crops = turned_hue(-20)(there, local)
    assert torch.allclose(back, random, atol=2e-3) and not torch.allclose(there, random, atol=2e-2) and crops.shape == local.shape
    grey = torch.full((1, 3, 4, 4), 0.5)
    assert torch.allclose(turned_hue(90)(grey, grey[:, None])[0], grey, atol=2e-3)


def test_light_colour_and_exposure_do_what_they_say():
    whole = torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert torch.allclose(tinted(1.5, 0.5)(whole, whole[:, None])[0][0, :, 0, 0], torch.tensor([0.6, 0.5, 0.3]))
    assert torch.allclose(exposed(2.0)(whole, whole[:, None])[0][0, :, 0, 0], torch.tensor([0.8, 1.0, 1.0]))
    without, _ = without_colour(whole, whole[:, None])
    assert (without[0, 0] == without[0, 2]).all()


def test_one_joint_is_covered_and_no_other():
    xy = np.full((1, 11, 2), 0.9)
    xy[0, 3] = 0.25
    pictures = torch.ones(1, 3, 100, 100), torch.ones(1, 11, 3, 8, 8)
    whole, local = hide_joints(xy, [3])(*pictures, np.array([0]))
    assert (local[:, 3] == 0.5).all() and (local[:, [0, 1, 2, *range(4, 11)]] == 1).all()
    assert (whole[..., 17:33, 17:33] == 0.5).all() and (whole[..., 60:, :] == 1).all() and (pictures[0] == 1).all()


class ByRedness(torch.nn.Module):
    """A network that flags the crops with red in them, and looks at nothing else."""

    def forward(self, whole, local):
        return 40 * (local[:, :, 0] - local[:, :, 1]).mean((-1, -2))

    def parameters(self, recurse=True):
        return iter([torch.zeros(1)])


def test_a_network_that_goes_by_colour_is_found_out_and_one_that_looks_at_its_joint_loses_it_when_covered(folders):
    test = load_crops(folders["test"])
    random = np.random.default_rng(1)
    labels = (random.random(test.labels.shape) < 0.3).astype(np.float32)
    local = np.full(test.local.shape, 128, np.uint8)
    local[labels == 1, :, :, 0] = 200
    test = replace(test, local=local, labels=labels, truth=labels, mask=np.ones_like(test.mask), assessable=np.ones_like(test.mask))
    calibration = {"priorLogOdds": [0.0] * 11, "temperature": 1.0, "bias": 0.0, "thresholds": {"f1": 0.99}}
    made = altered(ByRedness(), test, calibration)
    rows = made["photographs"]
    assert set(rows) == {"as they were", *ALTERATIONS} and rows["as they were"]["equal"] == 1 and rows["as they were"]["auroc"] == 1
    assert rows["no colour at all"]["sensitivity"] == 0 and rows["30 % brighter"]["equal"] == 1
    assert made["background"] is None
    elsewhere = replace(test, whole=np.zeros_like(np.array(test.whole)))
    moved = altered(ByRedness(), test, calibration, elsewhere)
    assert moved["background"] == {"hands": len(test), "aurocBefore": 1, "auroc": 1, "equal": 1}
    assert any("100.0% of the decisions stay" in line for line in altered_table(moved))
    with pytest.raises(ValueError, match="none of the"):
        altered(ByRedness(), test, calibration, replace(test, rows=[{**row, "photo": "strange.jpg"} for row in test.rows]))
    assert made["covered"] == {"flagged": int(labels.sum()), "stillFlagged": 0.0, "otherJointsEqual": 1.0}
    assert any("0.0% are still flagged" in line for line in altered_table(made))
