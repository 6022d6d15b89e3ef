"""What is run: suites of tasks, the data and models they need, presets, the runner and the command line."""
