"""What the lake shows for the controls of common frameworks, and what it cannot show."""
