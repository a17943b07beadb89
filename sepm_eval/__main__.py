"""``python -m sepm_eval`` is the ``sepm-eval`` command, for launchers that take a module."""

from sepm_eval.cli import main

if __name__ == "__main__":
    main()
