"""One adapter for each outside system. An adapter holds no decision, and knows no other adapter."""
