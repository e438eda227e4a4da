"""Capture files to flow evidence and a verdict.

:func:`read_capture` reads pcap and pcapng; :func:`summarise` turns one capture into
:class:`mtughost.model.evidence.CaptureEvidence`; :func:`judge` says what captures alone prove.
"""

from mtughost.packets.reader import CaptureReader, Record, read_capture
from mtughost.packets.summary import summarise
from mtughost.packets.verdict import judge

__all__ = ["CaptureReader", "Record", "judge", "read_capture", "summarise"]
