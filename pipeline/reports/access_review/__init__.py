"""Who read what: one row per principal and secret in the period."""
