r"""How likely a hit is relevant, given its score and its group.

A cosine of .6 may promise more in one group than in another: then one order by cosine serves the
groups otherwise. The posterior puts that right as far as the data say so: a small group's own
offset is drawn towards none.

References
----------
Platt, *Probabilistic outputs for support vector machines*, 1999; Gelman and Hill, *Data Analysis
Using Regression and Multilevel Models*, 2007, ch. 14 (offsets of groups under a normal prior).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evaluation.labels import group_labels
from evaluation.stats.logistic import expit, logistic_mode
from medembed.errors import InputError

__all__ = ["RelevancePosterior"]


@dataclass(frozen=True)
class RelevancePosterior:
    r"""A logistic curve over scores with an offset for each group.

    Parameters
    ----------
    centre, scale : float
        Of the scores it was fitted on.
    intercept, slope : float
    offsets : dict of group to float
        On the logit scale; 0 for a group it has not seen.

    Notes
    -----
    :math:`\operatorname{logit} P(\text{relevant}) = a + b z + \delta_g`,
    :math:`\delta_g \sim N(0, \tau^2)`, z the standardised score; the mode of the posterior by
    Newton's method. With a slope above 0 the order within a group is that of scores.
    """

    centre: float
    scale: float
    intercept: float
    slope: float
    offsets: dict[str, float]

    @classmethod
    def fit(
        cls, scores: ArrayLike, relevant: ArrayLike, groups: ArrayLike, *, spread: float = 0.5
    ) -> RelevancePosterior:
        """Fit on pairs of query and candidate of patients who are not held out.

        Parameters
        ----------
        scores : float array of shape (n,)
        relevant : array of shape (n,)
            0 or 1.
        groups : text array of shape (n,)
            Of the candidate; empty is "unknown".
        spread : float
            Standard deviation of groups' offsets that is expected; 0.5 is a factor of 1.6 in odds.

        Raises
        ------
        InputError
            Where arrays do not fit, scores do not vary or all pairs are of one kind.

        Examples
        --------
        >>> fit = RelevancePosterior.fit([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], ["F", "F", "M", "M"])
        >>> p = fit.predict([0.1, 0.4], ["F", "F"])
        >>> bool(p[0] < p[1])
        True
        """
        x, y = np.asarray(scores, dtype=np.float64), np.asarray(relevant, dtype=np.float64)
        names = group_labels(groups)
        if x.ndim != 1 or not x.shape == y.shape == names.shape or not np.isfinite(x).all():
            raise InputError("scores, relevance and groups that are not one value for each pair")
        if not np.isin(y, (0, 1)).all() or len(np.unique(y)) < 2:
            raise InputError("relevance of one kind only, or other than 0 and 1")
        if spread <= 0 or x.std() <= 0:
            raise InputError("scores that do not vary, or a spread of 0")
        labels, of = np.unique(names, return_inverse=True)
        centre, scale = float(x.mean()), float(x.std())
        z = (x - centre) / scale
        # The weak prior on a and b (standard deviation 30) keeps separable data finite.
        precision = np.concatenate([[1 / 900, 1 / 900], np.full(len(labels), 1 / spread**2)])
        design = np.column_stack([np.ones_like(z), z, np.eye(len(labels))[of]])
        theta = logistic_mode(design, y, precision)
        return cls(
            centre, scale, float(theta[0]), float(theta[1]),
            dict(zip(labels.tolist(), theta[2:].tolist(), strict=True)),
        )  # fmt: skip

    def predict(self, scores: ArrayLike, groups: ArrayLike) -> NDArray[np.float64]:
        """Probability of relevance, of the shape of ``scores``."""
        x, names = np.asarray(scores, dtype=np.float64), group_labels(groups)
        if x.shape != names.shape:
            raise InputError("scores and groups of different shapes")
        labels, of = np.unique(names, return_inverse=True)
        offset = np.array([self.offsets.get(name, 0.0) for name in labels.tolist()])
        logit = self.intercept + self.slope * (x - self.centre) / self.scale
        logit = logit + (offset[of].reshape(x.shape) if x.size else 0.0)
        return expit(np.asarray(logit))
