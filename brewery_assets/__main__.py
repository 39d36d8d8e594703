"""`python -m brewery_assets`: the command-line program."""

from brewery_assets.cli import app

if __name__ == "__main__":
    app(prog_name="brewery")
