"""Logistic regression with a ridge, by Newton: small enough to read, exact enough to calibrate with."""
import numpy as np


def logistic_regression(x, y, ridge=1.0, steps=50, trials=1):
    """x [M,F], y [M] (successes of `trials`, one number or [M]) -> weights [F+1] (last: intercept), by Newton with a ridge on the weights."""
    x = np.column_stack([x, np.ones(len(x))])
    w, penalty = np.zeros(x.shape[1]), np.diag([ridge] * (x.shape[1] - 1) + [1e-6])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        step = np.linalg.solve((x.T * (trials * p * (1 - p))) @ x + penalty, x.T @ (trials * p - y) + penalty @ w)
        w -= step
        if np.abs(step).max() < 1e-8:
            break
    return w


def linear(x, w):
    """x [...,F], w [F+1] -> score [...]."""
    return x @ w[:-1] + w[-1]
