"""Who may use the service, and which inputs it reads for them."""
