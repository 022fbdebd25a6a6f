"""The socket API as programs see it: its models, HTTP and events over the socket, and the client."""
