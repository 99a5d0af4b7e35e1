"""Kennel: from a folder of labelled photographs to an image classifier in production on AWS, and on one machine."""

__version__ = "0.1.0"
