"""The benchmarks as tasks of lmms-eval: a YAML file for each, and the functions that these files share."""
