"""Makes datasets out of run folders, and puts them on the Hub."""
