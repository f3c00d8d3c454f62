"""From raw records to DECODED rows: one folder per audit format, and the folder's name is the config's `kind`."""
