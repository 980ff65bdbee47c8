"""Readout purification: one symmetrised sweep, a closed-form solve, a checkpoint.

The mathematics is section 7 of the project's notes on arXiv:2603.24638. A prediction is
linear in the last-layer features, ``f(x) = W Φ(x)``, so that both the squared error and the
squared equivariance error of a readout are quadratic in ``W``, with coefficients that one
sweep over rotated structures gives for every trade-off between the two.
"""
