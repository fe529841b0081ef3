"""What history is: entries, manifests, the record of snapshots, retention, and the stores that keep them."""
