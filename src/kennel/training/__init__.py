"""Training: features, the head, fine-tuning, checkpoints, evaluation, export. Knows the contract, nothing of AWS."""
