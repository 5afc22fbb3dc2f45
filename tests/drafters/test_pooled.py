"""Drafters' trees merged by expected gain."""

OPTIONS = [{}, {"nodes": 3}, {"nodes": 0}]
