"""mtughost finds, proves and fixes MTU and MSS black holes across a fleet of sites."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mtughost")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0.0.0+checkout"
