"""The statistics of answers: intervals, calibration, thresholds, comparisons. NumPy and SciPy; no model, image or file."""
