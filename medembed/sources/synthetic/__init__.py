"""A synthetic cohort: chest radiographs and CT with reports, for trying out, never for judging.

No hospital's data may ship with the project, so it brings its own patients. They come from a
parametric chest (:mod:`~medembed.sources.synthetic.anatomy`,
:mod:`~medembed.sources.synthetic.skeleton`, :mod:`~medembed.sources.synthetic.vessels`) with
findings (:mod:`~medembed.sources.synthetic.findings`), seen by ray
(:mod:`~medembed.sources.synthetic.projection`) or by slice
(:mod:`~medembed.sources.synthetic.ct`), and told in words
(:mod:`~medembed.sources.synthetic.report`).
"""

from medembed.sources.synthetic.cohort import Cohort, write_cohort
from medembed.sources.synthetic.config import Bias, CohortConfig

__all__ = ["Bias", "Cohort", "CohortConfig", "write_cohort"]
