"""Generated protobuf and gRPC code (`make fix` writes it from proto/); only the codec and the gRPC ends import it."""
