"""IAM as values: policies, who asks for what, whether it is allowed. Sends nothing, reads nothing, knows no cloud."""
