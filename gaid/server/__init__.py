"""A library served to browsers, programs and agents: the page, the JSON API behind it, and the MCP server.

Searching is `retrieval`'s and decoding is `media`'s; this room decides who may ask, how much, and in which form answers go out.
"""
