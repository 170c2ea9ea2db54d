"""A synthetic cohort: chest radiographs and CT with reports, for trials, never for conclusions.

No hospital's data may ship with the project, so it simulates patients. They come from a parametric
chest (:mod:`~medembed.sources.synthetic.anatomy`, :mod:`~medembed.sources.synthetic.skeleton`,
:mod:`~medembed.sources.synthetic.vessels`) with findings
(:mod:`~medembed.sources.synthetic.findings`), projected to radiographs
(:mod:`~medembed.sources.synthetic.projection`) or cut into slices
(:mod:`~medembed.sources.synthetic.ct`), and described in reports
(:mod:`~medembed.sources.synthetic.report`).
"""

from medembed.sources.synthetic.cohort import Cohort, write_cohort
from medembed.sources.synthetic.config import Bias, CohortConfig

__all__ = ["Bias", "Cohort", "CohortConfig", "write_cohort"]
