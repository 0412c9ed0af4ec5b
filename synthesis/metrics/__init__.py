"""One kind of number about dialogues a file."""
