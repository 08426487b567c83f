"""What is kept on disk: the catalog, models, originals and the store that holds them."""
