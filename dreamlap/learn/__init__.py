"""How V, M and C are trained. Budgets are counts, never seconds: the same seed gives the same weights."""
