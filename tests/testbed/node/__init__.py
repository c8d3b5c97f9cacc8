"""A Kubernetes node on this machine: what it needs, the operator's image, and a kubelet with a containerd under it."""
