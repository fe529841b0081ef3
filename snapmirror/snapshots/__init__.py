"""History: entries, manifests, the record of snapshots, retention, and the stores that keep them."""
