"""What AWS's API says, for both sides of it: ARNs, and which requests it refuses. Sends nothing."""
