"""The programs behind `bertd data`."""
