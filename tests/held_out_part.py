"""A part of a held-out talk: what is said, and the profiles of those who say it."""

from __future__ import annotations

from training.scores.held_out import Part

TALK = (
    "Hello there, do you like chess?", "I play chess every week, my brother taught me.",
    "I used to live in Riga, everybody plays it.", "I visited Oslo in May and loved it.",
    "My wife bakes bread on Sundays.", "I like rye bread with salted butter.",
    "I have a small garden in Riga.", "I grow tomatoes on a balcony.",
    "My tomatoes never get red.", "I water them before work.",
)  # fmt: skip
PROFILES = (
    ("I have a small garden.", "I used to live in Riga.", "I own a telescope."),
    ("I play chess.", "I grow tomatoes.", "I like my boss."),
)
PART = Part("spc-7", "spc", PROFILES, TALK)
