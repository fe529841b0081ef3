"""Where trees come from: listing and fetching them, and the limits on what a server may do."""
