"""Suites, one file each: run(settings, figures), listed in benchmarks/__init__.py."""
