"""The alerts of the period: what, whose, how severe, and how they ended."""
