"""The socket API: routes, requests, views, the event stream."""
