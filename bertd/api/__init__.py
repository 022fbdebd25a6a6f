"""The client side of the socket API: its models, HTTP and events over the socket, and the client."""
