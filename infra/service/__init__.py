"""The protected service: it takes orders, and is what the product keeps alive."""
