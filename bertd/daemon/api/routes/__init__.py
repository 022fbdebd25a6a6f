"""The routes under /v1, a module per resource; each finds the daemon's parts in the application and calls them."""
