"""Make a model as symmetric as wanted.

Averages over a group, projections onto a structure's own symmetry.
"""
