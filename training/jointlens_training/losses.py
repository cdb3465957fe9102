"""
Losses for few positives. Pure functions: logits and labels [B,11], mask [B,11] (1 = counts), result a scalar: the mean over the
joints that count. Labels may be soft (mixup). CARRY_PREVALENCE names those whose logits carry the training prevalence.
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


def ldam(logits, labels, mask, prevalence, late=False, most=0.5, **_):
    """
    Cross-entropy with a margin for each class, C / n^(1/4), the rarer class's `most`; `late` in training positives are weighted too
    (LDAM with deferred re-weighting, Cao et al., NeurIPS 2019; scale 1, as our logits are not normalised). prevalence [11].
    """
    rarer = torch.minimum(prevalence, 1 - prevalence)
    positive, negative = most * (rarer / prevalence) ** 0.25, most * (rarer / (1 - prevalence)) ** 0.25
    weight = (1 - prevalence) / prevalence if late else torch.ones_like(prevalence)
    return masked_mean(weight * labels * F.softplus(positive - logits) + (1 - labels) * F.softplus(logits + negative), mask)


def aucm(logits, labels, mask, margin=1.0, **_):
    """
    Deep AUC margin loss (Yuan et al., arXiv 2012.03173) on p = sigmoid(z), its inner problem solved: spread of the positives' p, spread
    of the negatives' p, and max(0, margin - distance of their means)^2. 0 without both classes.
    """
    p, yes, no = torch.sigmoid(logits), labels * mask, (1 - labels) * mask
    if yes.sum() < 0.5 or no.sum() < 0.5:
        return 0.0 * logits.sum()
    mean = lambda weight: (p * weight).sum() / weight.sum()
    a, b = mean(yes), mean(no)
    spread = lambda weight, centre: ((p - centre) ** 2 * weight).sum() / weight.sum()
    return spread(yes, a) + spread(no, b) + F.relu(margin - (a - b)) ** 2


def ordinal(log_odds, grades, mask):
    """
    Cross-entropy of "at least grade 1, 2, 3" (Frank and Hall, ECML 2001) over the joints with a grade: log_odds [B,11,3], grades [B,11] (nan where
    not known), mask [B,11] -> scalar.
    """
    known = mask * torch.isfinite(grades)
    reached = (torch.nan_to_num(grades)[..., None] >= torch.arange(1, log_odds.shape[-1] + 1, device=grades.device)).float()
    return masked_mean(F.binary_cross_entropy_with_logits(log_odds, reached, reduction="none").mean(-1), known)


LOSSES = {"logit-adjusted": logit_adjusted, "bce": bce, "weighted-bce": weighted_bce, "focal": focal, "asymmetric": asymmetric,
          "ldam": ldam, "aucm": aucm}
# Their logits hold the log-odds of the training prevalence, which calibration must take out before it puts the natural ones in.
CARRY_PREVALENCE = ("bce", "focal", "asymmetric")


def smooth_negatives(labels, amount=0.02):
    """Labels [B,11] with 0 raised to `amount`: a reader misses more joints than they invent."""
    return labels + (1 - labels) * amount
