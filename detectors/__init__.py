"""One folder per detector; `pipeline.core.plugins` finds them by name."""
