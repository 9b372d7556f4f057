"""docs/attacks.md."""
