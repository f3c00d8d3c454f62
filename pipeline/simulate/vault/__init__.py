"""Writing requests as the audit lines of OpenBao or Vault: both entries, hashed as a device hashes them."""
