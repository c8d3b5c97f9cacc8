"""Builds what is handed out besides the image and the chart."""
