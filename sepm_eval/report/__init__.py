"""Reports on finished runs: the papers' tables and figures, with intervals and tests for their numbers."""
