"""Everything that speaks to AWS (or to the local AWS): requests as values, and what waits for their outcome."""
