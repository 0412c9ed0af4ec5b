"""Scores of a dialogue model on held-out dialogues: a folder or an endpoint, and the page that shows them."""
