OPTIONS = [{}, {"tree": "2;1", "draw": "sampled"}, {"tree": "medusa"}, {"tree": "0"}]
