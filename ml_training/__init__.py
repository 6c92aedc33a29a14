"""Training, evaluation and packaging of PMI's models.

Imports no Django; serving uses only `bundle`, `runtime` and `transforms`.
"""
