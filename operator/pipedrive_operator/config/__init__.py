"""The operator's settings: their types, and what they mean for the decisions."""
