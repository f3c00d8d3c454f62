"""Who was refused what, week by week, and why."""
