"""What the stream itself proves or belies: canonical order, pairing, continuity of each device, devices compared."""
