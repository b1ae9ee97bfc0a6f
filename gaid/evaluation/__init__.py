"""Heads on a split: scores, ranks, what a figure rests on, and the files made of them. Pages are left to `report`."""
