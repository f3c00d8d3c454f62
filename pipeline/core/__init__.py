"""What every room may import, and imports none of ours: schemas, values, ports, errors, plug-in look-up, metrics."""
