"""What prints the tables of the README: every one with date, hardware, commit and both sides of the comparison."""
