"""The operator's settings: their types, how they are loaded, and the rules for credentials that follow from them."""
