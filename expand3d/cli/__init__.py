"""One thin module per command: parse, one call, one rendering."""
