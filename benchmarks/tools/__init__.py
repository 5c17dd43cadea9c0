"""Programs around the benchmarks: `python -m benchmarks.tools.NAME`."""
