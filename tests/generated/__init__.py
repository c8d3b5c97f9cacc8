"""The files of the repository that are generated from the code, and the checks that they are in step with it."""
