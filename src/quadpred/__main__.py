"""`python -m quadpred`."""

from quadpred.cli import main

if __name__ == "__main__":
    main()
