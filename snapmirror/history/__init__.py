"""The use of history: opened, searched, compared, verified, healed, restored, removed."""
