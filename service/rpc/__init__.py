"""The gRPC surface: messages, servicers, status codes, the server."""
