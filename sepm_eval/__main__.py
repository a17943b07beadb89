"""Make ``python -m sepm_eval`` run the ``sepm-eval`` command, for launchers that take the name of a module."""

from sepm_eval.cli import main

if __name__ == "__main__":
    main()
