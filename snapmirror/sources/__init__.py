"""Where trees come from: listing and fetching them, and the limits that are set to what a server may do."""
