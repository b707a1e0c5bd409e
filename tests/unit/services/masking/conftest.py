"""Lets the tests below import `finding`."""
