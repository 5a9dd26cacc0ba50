"""From an API to typed rows: source, pages, form, poll."""
