OPTIONS = [{}, {"shape": "tree"}, {"shape": "tree", "nodes": 3, "keep": False}, {"nodes": 1}]
