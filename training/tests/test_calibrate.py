import numpy as np
import pytest

from jointlens_training.calibrate import calibrate, choose_thresholds, conformal_factor, fit_temperature_and_bias, hand_context, log_odds, other_hand, probability
from jointlens_training.crops import load_crops, pairs_of
from jointlens_training.metrics import auprc, counts, ece

SIGMOID = lambda z: 1 / (1 + np.exp(-z))


def made_up(seed, hands=600, temperature=1.7, bias=-0.3):
    """Prior-free logits of 11 joints whose calibration is known."""
    random = np.random.default_rng(seed)
    prior = log_odds(np.linspace(0.05, 0.25, 11))
    z = random.normal(0, 2.5, (hands, 11))
    y = (random.random((hands, 11)) < SIGMOID((z + prior) / temperature + bias)).astype(float)
    return z, y, np.array([f"p{i // 2}" for i in range(hands)])


def test_calibration_recovers_temperature_and_bias():
    random = np.random.default_rng(1)
    z = random.normal(-1, 3, 40000)
    y = random.random(40000) < SIGMOID(z / 1.8 - 0.4)
    temperature, bias = fit_temperature_and_bias(z, y)
    assert temperature == pytest.approx(1.8, rel=0.05) and bias == pytest.approx(-0.4, abs=0.05)


def test_scores_that_fall_with_swelling_are_refused():
    with pytest.raises(ValueError, match="rise with swelling"):
        fit_temperature_and_bias(np.array([-1.0, -2, 1, 2, 0.5, -0.5]), np.array([1.0, 1, 0, 0, 1, 0]))


def test_calibrated_probabilities_hold_on_other_patients():
    z, y, patients = made_up(1)
    mask = np.ones(z.shape, bool)
    made = calibrate(z, y, mask, patients, patients, "made up")
    z2, y2, _ = made_up(2)
    assert ece(y2.ravel(), probability(z2, made).ravel()) < 0.03
    assert made["patients"] == 300 and len(made["priorLogOdds"]) == 11


def test_thresholds_are_below_one_half_and_sensitivity_90_is_reached():
    z, y, patients = made_up(3)
    mask = np.ones(z.shape, bool)
    made = calibrate(z, y, mask, patients, patients, "made up")
    t = made["thresholds"]
    p = probability(z, made)
    assert 0 < t["sensitivity90"] <= t["f1"] <= 0.5
    assert (p[y == 1] >= t["sensitivity90"]).mean() >= 0.9


def test_the_best_threshold_separates_what_can_be_separated():
    t = choose_thresholds(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 0, 1, 1]))
    assert t["f1"] == pytest.approx(0.25) and t["gmean"] == pytest.approx(0.25) and t["sensitivity90"] == pytest.approx(0.25)


def test_the_count_interval_covers_about_nine_in_ten_other_patients():
    z, y, patients = made_up(4)
    mask = np.ones(z.shape, bool)
    made = calibrate(z, y, mask, patients, patients, "made up")
    z2, y2, others = made_up(5)
    c = counts(y2, probability(z2, made), mask, others, made["thresholds"]["f1"], made["interval"]["factor"])
    assert 0.85 < np.mean((c["true"] >= c["low"]) & (c["true"] <= c["high"])) <= 1


def test_the_factor_is_the_least_whose_rounded_interval_holds_the_count():
    y = np.zeros((9, 11))
    p, mask = np.zeros((9, 11)), np.zeros((9, 11), bool)
    p[:, :4], mask[:, :4] = 0.5, True  # mean 2, variance 1
    y[:8, :2], y[8, :4] = 1, 1
    visits = np.array(list("abcdefghi"))
    factor = conformal_factor(p, y, mask, visits)
    assert factor == pytest.approx(1, abs=1e-3)  # of the two joints above the mean one comes from rounding outwards
    assert counts(y, p, mask, visits, 0.6, factor)["high"][8] == 4
    assert counts(y, p, mask, visits, 0.6, factor - 2e-4)["high"][8] == 3


def test_too_few_patients_for_an_interval_are_refused():
    with pytest.raises(ValueError, match="at least 9 visits"):
        conformal_factor(np.full((4, 11), 0.1), np.zeros((4, 11)), np.ones((4, 11), bool), np.array(list("abcd")))


def test_a_joints_context_is_the_log_odds_of_the_mean_of_the_hands_other_joints():
    p, mask = np.full((1, 11), 0.9), np.zeros((1, 11), bool)
    p[0, :3], mask[0, :3] = (0.1, 0.2, 0.6), True
    context = hand_context(p, mask, floor=0.01)
    assert context[0, 0] == pytest.approx(np.log(0.41 / 0.61))  # mean of 0.2 and 0.6
    assert context[0, 2] == pytest.approx(np.log(0.16 / 0.86))  # mean of 0.1 and 0.2
    assert context[0, 10] == pytest.approx(np.log(0.31 / 0.71))  # not assessable itself: the mean of all three


def test_a_joint_alone_keeps_what_it_says_itself():
    alone = np.zeros((1, 11), bool)
    alone[0, 4] = True
    made = {"priorLogOdds": [0.0] * 11, "temperature": 1.0, "bias": 0.0}
    with_context = {**made, "context": {"scale": 0.5, "weight": 2.0, "bias": 1.0, "floor": 0.01}}
    z = np.full((1, 11), 0.7)
    assert probability(z, with_context, alone)[0, 4] == pytest.approx(probability(z, made)[0, 4])


def test_the_hands_other_joints_help_where_hands_are_ill_as_a_whole_and_calibration_holds():
    def sick_hands(seed, hands=800):
        random = np.random.default_rng(seed)
        ill = random.random((hands, 1)) < 0.3
        y = (random.random((hands, 11)) < np.where(ill, 0.5, 0.01)).astype(float)
        return random.normal(np.where(y == 1, 0.8, -0.8), 1.0), y, np.array([f"p{i // 2}" for i in range(hands)])
    z, y, patients = sick_hands(1)
    mask = np.ones(z.shape, bool)
    plain = calibrate(z, y, mask, patients, patients, "made up", context=False)
    made = calibrate(z, y, mask, patients, patients, "made up")
    assert "context" not in plain and made["context"]["weight"] > 0.3
    z2, y2, _ = sick_hands(2)
    assert auprc(y2.ravel(), probability(z2, made).ravel()) > auprc(y2.ravel(), probability(z2, plain).ravel()) + 0.05
    assert ece(y2.ravel(), probability(z2, made).ravel()) < 0.03


def test_log_odds_that_logits_carry_are_taken_out():
    z, y, patients = made_up(5)
    mask = np.ones(z.shape, bool)
    free = calibrate(z, y, mask, patients, patients, "made up")
    carrying = calibrate(z - 1.5, y, mask, patients, patients, "made up", carried=np.full(11, -1.5))
    assert np.allclose(probability(z, free), probability(z - 1.5, carrying), atol=1e-4)


def symmetric(seed, visits=600):
    """Two hands a visit whose joints swell together left and right, in the order of crops: left, right, left, …"""
    random = np.random.default_rng(seed)
    shared, own = random.normal(0, 1.4, (visits, 1, 11)), random.normal(0, 0.7, (visits, 2, 11))
    y = (shared + own - 2.2 > 0).astype(float).reshape(-1, 11)
    z = 1.4 * y + random.normal(0, 1.2, y.shape)
    pairs = np.arange(2 * visits) ^ 1
    return z, y, np.repeat([f"p{i}" for i in range(visits)], 2), pairs


def test_the_other_hand_speaks_for_the_same_joint():
    z, y, patients, pairs = symmetric(1)
    mask = np.ones(z.shape, bool)
    apart, together = (calibrate(z, y, mask, patients, patients, "made up", pairs=other) for other in (None, pairs))
    assert "pair" not in apart and together["pair"]["mirror"] > together["pair"]["across"] >= 0
    z2, y2, _, pairs2 = symmetric(2)
    p = probability(z2, together, pairs=pairs2)
    assert auprc(y2.ravel(), p.ravel()) > auprc(y2.ravel(), probability(z2, apart).ravel()) + 0.03
    assert ece(y2.ravel(), p.ravel()) < 0.03


def test_a_hand_without_another_keeps_what_it_says_by_itself():
    z, y, patients, pairs = symmetric(1)
    made = calibrate(z, y, np.ones(z.shape, bool), patients, patients, "made up", pairs=pairs)
    alone = probability(z[:1], made, pairs=np.array([-1]))
    assert np.array_equal(alone, probability(z[:1], {key: value for key, value in made.items() if key != "pair"}))
    unreadable = np.array([[True] * 11, [False] * 11])
    assert np.allclose(probability(z[:2], made, unreadable, np.array([1, 0]))[0], alone[0])


def test_a_mirrored_joint_that_cannot_be_read_is_stood_in_for_by_its_hand():
    p, mask = np.array([[0.2] * 11, [0.9] + [0.1] * 10]), np.ones((2, 11), bool)
    mask[1, 0] = False
    mirror, across = other_hand(p, mask, np.array([1, 0]), 0.01)
    assert mirror[0, 0] == pytest.approx(np.log(0.11 / 0.91)) and across[0, 0] == mirror[0, 0]
    assert mirror[1, 3] == pytest.approx(np.log(0.21 / 0.81))


def test_hands_of_one_visit_are_paired_left_with_right(folders):
    crops = load_crops(folders["test"])
    assert pairs_of(crops).tolist() == [i ^ 1 for i in range(len(crops))]
    assert pairs_of(crops, [3, 0, 2]).tolist() == [2, -1, 0]
