"""SSH sessions: host keys, deadlines, caps. The only room that opens a connection to a device.

Start at :class:`mtughost.wire.connector.Connector`. This package imports nothing by itself, so
that a command that opens no session does not pay for the SSH libraries.
"""
