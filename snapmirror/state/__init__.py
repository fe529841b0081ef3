"""State kept between runs, so that `status` and others need not open the store; and the report of a run."""
