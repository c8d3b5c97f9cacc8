"""What unit tests stand on: builders of values, and every fake of a port."""
