"""Target tracking as Application Auto Scaling does it, as pure decisions: data and times in, a count out. No cloud."""
