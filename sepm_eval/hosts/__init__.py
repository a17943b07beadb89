"""The evaluation harnesses (hosts) that this package plugs into; only the files of this folder import a harness."""
