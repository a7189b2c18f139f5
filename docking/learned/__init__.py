"""Scalar fields whose coefficients are learned, and how they are trained."""
