"""Many machines: the server behind Ray Serve, and benchmarks as Ray tasks. Needs the extra `ray`."""
