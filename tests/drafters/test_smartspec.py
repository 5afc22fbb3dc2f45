OPTIONS = [
    {},
    {"drafter": "early_exit/draw=sampled", "most": 2},
    {"drafter": "dyspec/drafter=(early_exit/layer=2)/nodes=3", "most": 2, "every": 1},
    {"drafter": "merged", "every": 2},
    {"most": 0},
]
