"""The application: command line, gRPC, catalog, backbones and the use cases that join them."""
