"""What a corpus of hundreds of billions of tokens costs where it is used: `make bench-scale`."""
