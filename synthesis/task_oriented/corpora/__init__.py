"""Corpora of task-oriented dialogue with belief states, each in its official form, read into our records."""
