"""Runs: who answers, what was asked, the journal, and finished runs as values."""
