"""Watches credentials and labelled Secrets. kopf does the watching; nothing here decides, and nothing is written."""
