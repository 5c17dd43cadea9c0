"""Measuring trained networks."""

from h2s_keras.evaluation.measure import accuracy, collect_scores, measure_flow

__all__ = ["accuracy", "collect_scores", "measure_flow"]
