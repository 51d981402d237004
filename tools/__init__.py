"""What a person runs: the command line, stress, reports and benchmarks of smpmm."""
