"""When each secret was changed, how often it usually is, and which are overdue."""
