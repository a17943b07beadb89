"""VLMEvalKit: a launcher that adds our data sets and models to it."""

from sepm_eval.hosts.vlmevalkit.launcher import register as register
