"""A real n8n in front of the operator: it is installed from npm, and reaches the simulator as api.pipedrive.com."""
