"""From a request to a job: its form is received, read, checked and accepted."""
