"""The command is in a package."""

from commands.training import train

if __name__ == "__main__":
    train()
