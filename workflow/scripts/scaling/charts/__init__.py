"""Tables and fits to charts: ``catalog`` lists the figures, one module draws each."""
