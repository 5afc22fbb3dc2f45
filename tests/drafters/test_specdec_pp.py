OPTIONS = [{}, {"most": 3, "least": 1, "threshold": 0.3, "draw": "sampled"}, {"most": 0}]
