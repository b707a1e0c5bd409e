"""What is sensitive: one module a family, each a table of recognisers and finders with the small checks they need."""
