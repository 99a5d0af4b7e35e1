"""Serving: multi-model-server with our handler. Needs no torch on a CPU; knows the contract, nothing of AWS."""
