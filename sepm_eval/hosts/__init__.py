"""The evaluation harnesses we plug into; only these files import one."""
