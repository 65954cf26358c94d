"""Run notebooks: one notebook, one kernel, one tracked run. See `runner.run_notebook`."""
