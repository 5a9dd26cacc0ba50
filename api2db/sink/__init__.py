"""Where rows land: one module per target, each importing its own driver."""
