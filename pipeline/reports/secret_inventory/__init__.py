"""What secrets there are, as known from their use: owner, readers, last read, write and rotation."""
