"""VLMEvalKit: its launcher, data sets and models."""

from sepm_eval.hosts.vlmevalkit.launcher import register as register
