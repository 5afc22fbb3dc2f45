OPTIONS = [{"corpus": "tests/drafters/toy.npz"}, {"corpus": "tests/drafters/toy.npz", "nodes": 1}, {}]
