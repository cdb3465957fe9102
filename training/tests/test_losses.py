"""Losses against values worked out by hand."""
import math

import pytest
import torch

from jointlens_training.losses import asymmetric, aucm, bce, focal, ldam, logit_adjusted, ordinal, smooth_negatives, weighted_bce

ONE = torch.ones(1, 1)
softplus = lambda x: math.log1p(math.exp(x))


def test_cross_entropy_of_a_positive_at_logit_1_is_softplus_of_minus_1():
    assert bce(ONE, ONE, ONE).item() == pytest.approx(softplus(-1))


def test_joints_that_do_not_count_change_nothing():
    logits, labels, mask = torch.tensor([[1.0, 9.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    assert bce(logits, labels, mask).item() == pytest.approx(softplus(-1))


def test_weighted_cross_entropy_counts_a_positive_nine_times_at_one_in_ten():
    pi = torch.tensor([0.1])
    assert weighted_bce(ONE, ONE, ONE, pi).item() == pytest.approx(9 * softplus(-1), rel=1e-5)
    assert weighted_bce(ONE, 0 * ONE, ONE, pi).item() == pytest.approx(softplus(1), rel=1e-5)


def test_logit_adjustment_adds_the_log_odds_of_the_training_prevalence():
    assert logit_adjusted(ONE, ONE, ONE, torch.tensor([0.1])).item() == pytest.approx(softplus(-(1 - math.log(9))), rel=1e-5)


def test_logit_adjustment_leaves_logits_free_of_the_prevalence():
    pi = torch.tensor([0.2])
    labels, z = torch.tensor([[1.0], [0], [0], [0], [0]]), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([z], max_iter=50)

    def closure():
        optimiser.zero_grad()
        loss = logit_adjusted(z.expand(5, 1), labels, torch.ones(5, 1), pi)
        loss.backward()
        return loss

    optimiser.step(closure)
    assert z.item() == pytest.approx(0, abs=1e-3)


def test_focal_loss_weighs_by_the_squared_miss():
    p = 1 / (1 + math.exp(-1))
    assert focal(ONE, ONE, ONE).item() == pytest.approx((1 - p) ** 2 * softplus(-1), rel=1e-5)
    assert focal(ONE, 0 * ONE, ONE).item() == pytest.approx(p**2 * softplus(1), rel=1e-5)


def test_asymmetric_loss_forgets_easy_negatives():
    p = 1 / (1 + math.exp(-1))
    assert asymmetric(ONE, ONE, ONE).item() == pytest.approx(softplus(-1), rel=1e-5)
    assert asymmetric(ONE, 0 * ONE, ONE).item() == pytest.approx(-((p - 0.05) ** 4) * math.log(1 - p + 0.05), rel=1e-5)
    assert asymmetric(-9 * ONE, 0 * ONE, ONE).item() == 0


def test_ldam_asks_a_wider_margin_of_the_rarer_class():
    pi = torch.tensor([0.1])  # margins 0.5 for positives, 0.5 (0.1 / 0.9)^(1/4) for negatives
    assert ldam(ONE, ONE, ONE, pi).item() == pytest.approx(softplus(0.5 - 1), rel=1e-5)
    assert ldam(ONE, 0 * ONE, ONE, pi).item() == pytest.approx(softplus(1 + 0.5 * (1 / 9) ** 0.25), rel=1e-5)
    assert ldam(ONE, ONE, ONE, pi, late=True).item() == pytest.approx(9 * softplus(0.5 - 1), rel=1e-5)


def test_the_auc_margin_loss_is_spread_of_both_classes_and_the_missing_distance():
    z = torch.logit(torch.tensor([[0.9, 0.7, 0.2, 0.4]]))
    y = torch.tensor([[1.0, 1, 0, 0]])  # means 0.8 and 0.3, spreads 0.01 each, distance 0.5 of 1
    assert aucm(z, y, torch.ones(1, 4)).item() == pytest.approx(0.01 + 0.01 + 0.25, rel=1e-4)
    assert aucm(z, 0 * y, torch.ones(1, 4)).item() == 0


def test_only_negatives_are_smoothed():
    assert smooth_negatives(torch.tensor([0.0, 1.0]), 0.02).tolist() == pytest.approx([0.02, 1.0])


def test_the_grade_loss_asks_at_least_1_2_3_of_joints_whose_grade_is_known():
    log_odds, grades = torch.tensor([[[2.0, 1.0, -1.0], [5.0, 5.0, 5.0]]]), torch.tensor([[2.0, float("nan")]])
    assert ordinal(log_odds, grades, torch.ones(1, 2)).item() == pytest.approx((softplus(-2) + softplus(-1) + softplus(-1)) / 3)
    assert ordinal(log_odds, grades, torch.tensor([[0.0, 1.0]])).item() == 0
