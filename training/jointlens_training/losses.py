"""
Losses for few positives. Pure functions: logits and labels [B,11], mask [B,11] (1 = counts), result a scalar: the mean over the
joints that count. Labels may be soft (mixup). All but `logit_adjusted` give logits that carry the training prevalence.
"""
import torch
import torch.nn.functional as F


def masked_mean(terms, mask):
    """terms, mask [B,11] -> scalar."""
    return (terms * mask).sum() / mask.sum().clamp(min=1)


def bce(logits, labels, mask, **_):
    """Plain cross-entropy, the mandatory competitor."""
    return masked_mean(F.binary_cross_entropy_with_logits(logits, labels, reduction="none"), mask)


def weighted_bce(logits, labels, mask, prevalence, **_):
    """Cross-entropy with positives weighted by (1 - pi_j) / pi_j. prevalence [11]."""
    weight = (1 - prevalence) / prevalence
    return masked_mean(F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight, reduction="none"), mask)


def logit_adjusted(logits, labels, mask, prevalence, **_):
    """
    BCE(z + log(pi_j / (1 - pi_j)), y): z itself is free of the training prevalence pi_j and consistent for balanced error
    (Menon et al., ICLR 2021). prevalence [11].
    """
    return bce(logits + torch.log(prevalence / (1 - prevalence)), labels, mask)


def focal(logits, labels, mask, gamma=2.0, **_):
    """(1 - p_t)^gamma times cross-entropy (Lin et al., ICCV 2017)."""
    terms = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    p = torch.sigmoid(logits)
    return masked_mean((labels * (1 - p) + (1 - labels) * p) ** gamma * terms, mask)


def asymmetric(logits, labels, mask, gamma_positive=0.0, gamma_negative=4.0, margin=0.05, **_):
    """Focal on negatives only, with easy negatives below `margin` dropped (Ridnik et al., ICCV 2021)."""
    p = torch.sigmoid(logits)
    low = (p - margin).clamp(min=0)
    positive = -labels * (1 - p) ** gamma_positive * F.logsigmoid(logits)
    negative = -(1 - labels) * low**gamma_negative * torch.log((1 - low).clamp(min=1e-8))
    return masked_mean(positive + negative, mask)


LOSSES = {"logit-adjusted": logit_adjusted, "bce": bce, "weighted-bce": weighted_bce, "focal": focal, "asymmetric": asymmetric}


def smooth_negatives(labels, amount=0.02):
    """Labels [B,11] with 0 raised to `amount`: a reader misses more joints than they invent."""
    return labels + (1 - labels) * amount
