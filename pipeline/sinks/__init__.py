"""Where alerts go. One folder per kind; each owns its wire format, and what a sink cannot promise its README says."""
