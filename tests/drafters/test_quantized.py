"""Drafts by the target's own weights in 4 bits."""

OPTIONS = [{"tokens": 4}, {"tokens": 2, "drafters": "prompt_lookup,token_recycling"}]
