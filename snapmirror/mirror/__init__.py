"""What a night is: listing, plan, guard, transfer, report."""
