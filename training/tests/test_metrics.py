"""Metrics against values worked out by hand."""
import numpy as np
import pytest

from jointlens_training.metrics import agreement, auprc, auroc, bootstrap, brier, calibration_line, counts, decisions, ece

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


def test_the_calibration_line_of_probabilities_that_mean_what_they_say_is_the_diagonal():
    random = np.random.default_rng(1)
    p = random.uniform(0.02, 0.98, 20000)
    y = random.random(20000) < p
    slope, intercept = calibration_line(y, p)
    assert slope == pytest.approx(1, abs=0.05) and intercept == pytest.approx(0, abs=0.05)
    too_sure = 1 / (1 + np.exp(-2 * np.log(p / (1 - p)) - 1))  # twice the log-odds and one more
    slope, intercept = calibration_line(y, too_sure)
    assert slope == pytest.approx(0.5, abs=0.05) and intercept == pytest.approx(-0.5, abs=0.05)


def test_agreement_is_the_published_intraclass_correlation():
    # Shrout and Fleiss 1979: the first two judges of their table 2, the sums of squares written out.
    a, b = [9, 6, 8, 7, 10, 6], [2, 1, 4, 1, 5, 2]
    x = np.array([a, b], float).T
    between = 2 * ((x.mean(1) - x.mean()) ** 2).sum() / 5
    judges = 6 * ((x.mean(0) - x.mean()) ** 2).sum()
    error = ((x - x.mean()) ** 2).sum() - between * 5 - judges
    assert agreement(a, b) == pytest.approx((between - error / 5) / (between + error / 5 + 2 * (judges - error / 5) / 6))
    assert agreement(a, a) == pytest.approx(1)
    assert agreement(a, np.array(a) + 20) < 0.1  # the order is right, the counts are not
