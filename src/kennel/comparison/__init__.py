"""Two ways of the same training, SageMaker's and by hand: recorded as values, priced, held against each other. Pure."""
