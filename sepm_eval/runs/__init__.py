"""Runs: who answers, what is asked, the journal of answers, and finished runs as values."""
