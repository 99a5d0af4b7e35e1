"""Who may do what in the local AWS: the caller, what is asked for, and the decision at the door."""
