"""What goes into the cluster: the target Secret and the restarts of workloads that use it."""
