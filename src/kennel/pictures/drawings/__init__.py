"""Drawn dogs, for when no photographs are at hand: eight breeds in many poses, places and lights. Demo and tests only.

A picture is a function of its breed and a seed. A dog is drawn at twice the size on two layers (colour, shade)
and laid over its background; light, colour cast, noise and blur then fall on both, so that no single pixel tells a
breed. What a network learns here says nothing about photographs.
"""

from kennel.pictures.drawings.breeds import BREEDS, Breed
from kennel.pictures.drawings.written import MARKER, SIZES, SPLITS, VERSION, draw, draw_set

__all__ = ["BREEDS", "MARKER", "SIZES", "SPLITS", "VERSION", "Breed", "draw", "draw_set"]
