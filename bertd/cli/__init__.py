"""The bertd command."""
