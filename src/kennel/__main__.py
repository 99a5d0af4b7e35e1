"""`python -m kennel`, for torchrun's sake."""

from kennel.cli import main

main()
