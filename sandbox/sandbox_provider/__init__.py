"""The sandbox provider: an OAuth 2.0 authorization server and a small calendar API for demo and tests.

It behaves as Google documents its own endpoints, consents by itself, and can be told to fail.
"""
