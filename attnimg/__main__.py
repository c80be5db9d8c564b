"""`python -m attnimg` is `attnimg`."""

from attnimg.cli.main import main

if __name__ == "__main__":
    main()
