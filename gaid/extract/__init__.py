"""Stage one: media files in, a store of features out."""
