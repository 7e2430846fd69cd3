"""Our pixels held against independent decoders; `make decoders` writes docs/decoders.md."""
