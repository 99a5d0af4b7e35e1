"""The local AWS: one server on loopback that answers AWS's own API calls by doing the work on this machine."""
