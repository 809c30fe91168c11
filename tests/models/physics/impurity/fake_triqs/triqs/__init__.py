"""Stand-in for TRIQS 3.2: the modules that nrgljubljana_interface 3.2 imports, under their names, and nothing else."""
