"""Capture files to flow evidence.

:func:`read_capture` reads pcap and pcapng; :func:`summarise` turns one capture into
:class:`mtughost.model.evidence.CaptureEvidence`.
"""

from mtughost.packets.reader import CaptureReader, Record, read_capture
from mtughost.packets.summary import summarise

__all__ = ["CaptureReader", "Record", "read_capture", "summarise"]
