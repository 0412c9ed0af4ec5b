"""Words for what a turn is to do, by a model or of phrases, and slots read back out of them."""
