"""One kind of reason for dropping a dialogue a file."""
