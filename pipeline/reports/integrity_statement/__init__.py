"""How whole the record is, per source and day: what an auditor signs."""
