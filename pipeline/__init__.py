"""keytrail: audit analytics and anomaly detection for secret stores."""
