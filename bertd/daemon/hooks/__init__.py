"""Hooks: programs and webhooks that the daemon calls when something happens."""
