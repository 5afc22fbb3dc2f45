OPTIONS = [{"corpus": "tests/drafters/toy.npz"}, {"nodes": 64, "keep": False}, {"nodes": 1, "iterations": 1}]
