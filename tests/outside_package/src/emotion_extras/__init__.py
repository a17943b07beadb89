"""What a package that adds to sepm_eval may hold: each thing is one module."""
