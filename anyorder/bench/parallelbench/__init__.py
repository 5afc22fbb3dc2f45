"""ParallelBench re-created: problems, judges, metrics and plots."""

from anyorder.bench.parallelbench.problems import Problem, suite

__all__ = ["Problem", "suite"]
