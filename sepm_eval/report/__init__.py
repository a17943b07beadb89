"""Finished runs as the paper's tables and figures, with what can be said of their certainty."""
