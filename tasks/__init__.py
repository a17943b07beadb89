"""lmms-eval's view of the benchmarks: a YAML file each, and the functions they share."""
