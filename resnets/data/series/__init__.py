"""Series of values over time (signals): float32 (C, L), with NaN where a value is missing."""
