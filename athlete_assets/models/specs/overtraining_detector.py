"""The overtraining detector as the product knows it; what it learns is in models/overtraining_detector.py."""

from __future__ import annotations

from athlete_assets import tables
from athlete_assets.models import detector_evaluation, overtraining_detector
from athlete_assets.models.model_spec import ModelSpec
from athlete_assets.models.overtraining_detector import OvertrainingDetector, OvertrainingDetectorOptions

NO_DETECTOR = "no detector serves: none has passed its gate"


SPEC = ModelSpec(
    name="overtraining_detector",
    description="Probability that a week without any activity begins within 14 days, from how regularly and how "
    "recently the athlete trained (a logistic regression of five counts). It measures how firmly the habit holds, sees "
    "no load, heart rate or pace, and is not an injury and not a diagnosis.",
    labels=tables.DISRUPTIONS,
    label="disrupted",
    evening="as_of_date",
    day="as_of_date",
    features={
        tables.PERFORMANCE: overtraining_detector.PERFORMANCE_INPUTS,
        tables.ROLLING: overtraining_detector.ROLLING_INPUTS,
    },
    outputs={"p_disruption_14d": "double", "p_disruption_reason": "string"},
    usable=overtraining_detector.usable_rows,
    fit=overtraining_detector.fit,
    judge=detector_evaluation.judged,
    predict=OvertrainingDetector.predict,
    options=OvertrainingDetectorOptions,
    unserved={"p_disruption_reason": NO_DETECTOR},
)
