"""Receivers of alerts, to test against: real servers on loopback with the real ones' rules, and their bad days."""
