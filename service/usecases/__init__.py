"""What users ask for, written without gRPC, torch, FAISS or SQLAlchemy in reach."""
