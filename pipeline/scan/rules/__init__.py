"""Every rule, the more exact ones first: of two that find the same text the first one has it."""

from __future__ import annotations

from typing import Final

from pipeline.scan.rules import aws, clouds, jwt, named, pem, services, vault

RULES: Final = (*vault.RULES, *aws.RULES, *clouds.RULES, *services.RULES, *pem.RULES, *jwt.RULES, *named.RULES)
