OPTIONS = [{"nodes": 3}, {"nodes": 3, "depth": 1, "accept": "0.4,0.3,0.2"}, {"draw": "likeliest"}, {"nodes": 0}]
