"""What learns: data checks, models, and one straight-line script for each training method."""
