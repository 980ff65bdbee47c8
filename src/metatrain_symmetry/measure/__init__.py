"""Equivariance error A and character projections B, measured and reported."""
