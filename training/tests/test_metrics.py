"""Metrics against values worked out by hand."""
import numpy as np
import pytest

from jointlens_training.metrics import auprc, auroc, bootstrap, brier, counts, decisions, ece

Y = np.array([1, 0, 1, 0, 0])
SCORE = np.array([0.9, 0.8, 0.7, 0.3, 0.3])


def test_auroc_counts_pairs_in_order():
    assert auroc(Y, SCORE) == pytest.approx(5 / 6)


def test_auroc_takes_a_tie_as_half():
    assert auroc([1, 0], [0.5, 0.5]) == 0.5


def test_auroc_of_one_class_is_not_a_number():
    assert np.isnan(auroc([0, 0], [0.1, 0.2]))


def test_average_precision_is_the_mean_precision_at_each_hit():
    assert auprc(Y, SCORE) == pytest.approx((1 + 2 / 3) / 2)


def test_average_precision_of_equal_scores_is_the_prevalence():
    assert auprc(Y, np.zeros(5)) == pytest.approx(0.4)


def test_decisions_of_a_known_table():
    d = decisions(Y, SCORE >= 0.75)  # tp 1, fp 1, fn 1, tn 2
    assert d["sensitivity"] == 0.5 and d["specificity"] == pytest.approx(2 / 3)
    assert d["f1"] == 0.5 and d["gmean"] == pytest.approx((1 / 3) ** 0.5)
    assert d["ppv"] == 0.5 and d["npv"] == pytest.approx(2 / 3) and d["mcc"] == pytest.approx(1 / 6)


def test_always_negative_has_no_f1_and_no_gmean():
    d = decisions(Y, np.zeros(5, bool))
    assert d["f1"] == 0 and d["gmean"] == 0 and d["specificity"] == 1


def test_calibration_error_and_brier():
    assert ece([1, 0], [0.8, 0.3]) == pytest.approx((0.2 + 0.3) / 2)
    assert brier([1, 0], [0.8, 0.3]) == pytest.approx((0.04 + 0.09) / 2)


def test_a_joint_that_could_not_be_read_is_in_no_count():
    y, p = np.zeros((2, 11)), np.full((2, 11), 0.1)
    mask = np.ones((2, 11), bool)
    y[0, 0], y[1, 1], p[0, 0], mask[1, 1] = 1, 1, 0.9, False
    c = counts(y, p, mask, np.array(["a", "a"]), 0.5, 1.6)
    assert c["true"][0] == 1 and c["suggested"][0] == 1 and c["joints"][0] == 21
    assert c["low"][0] <= 1 <= c["high"][0] <= 21


def test_the_bootstrap_draws_patients_not_joints():
    y = np.repeat([0.0, 1.0], 50)  # two patients who differ, 50 joints each
    low, high = bootstrap(lambda i: y[i].mean(), np.repeat(["a", "b"], 50), repeats=200)
    assert (low, high) == (0, 1)
