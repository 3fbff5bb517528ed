"""Malignant skin lesions: an embedding by triplets, then a classifier on it."""
