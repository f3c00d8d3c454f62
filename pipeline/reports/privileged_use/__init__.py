"""Who used rights that few have, for what, and which alerts told of it."""
