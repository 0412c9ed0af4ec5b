"""Material of the embedded model: text, drills, and examples of every call that the recipes make."""
