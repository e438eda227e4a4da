"""``python -m mtughost`` is the ``mtughost`` command."""

from mtughost.cli.main import main

if __name__ == "__main__":
    main()
