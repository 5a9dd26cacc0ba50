"""`python -m api2db` is `api2db`."""

from api2db.install.cli import main

if __name__ == "__main__":
    main()
