OPTIONS = [{"nodes": 3}, {"nodes": 4, "grow": "threshold"}, {"nodes": 3, "draw": "likeliest"}, {"nodes": 0}]
