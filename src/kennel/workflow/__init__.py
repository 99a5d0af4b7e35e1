"""The whole story, one call a step: from a folder of photographs to an endpoint that answers."""
