OPTIONS = [{}, {"most": 3, "draw": "sampled"}, {"most": 0}, {"drafter": "draft_model"}]
