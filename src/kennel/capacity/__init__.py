"""What one instance can do, and what traffic, queues and scaling make of it: figures in, figures out. No cloud."""
