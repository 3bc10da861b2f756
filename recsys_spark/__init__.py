"""A nightly recommender for a data lake: everything is a table, by date."""
