"""History as plain folders that share their unchanged files by hard links. Runs cp."""
