"""Where metrics can be written to: a module per format. Each imports its library when it is opened."""
