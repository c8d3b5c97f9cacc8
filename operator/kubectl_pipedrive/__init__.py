"""The kubectl plugin: what people type about their Pipedrive credentials.

It starts in a fraction of a second and runs as one file, so it imports the standard library and the operator's pure
facts, such as its reasons, and nothing else. Every access to the cluster goes through `kubectl`.
"""
